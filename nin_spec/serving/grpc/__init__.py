"""The protocol over gRPC: the calls and their messages."""
