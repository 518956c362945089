"""The protocol over HTTP: a connection, the paths on it, and the framing of a request and an answer."""
