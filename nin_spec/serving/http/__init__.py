"""The protocol over HTTP: connections, routes, and the framing of requests and responses."""
