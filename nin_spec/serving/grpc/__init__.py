"""The protocol over gRPC: the calls, and the messages that they take and give."""
