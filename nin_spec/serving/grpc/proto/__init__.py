"""The protocol over gRPC: its .proto, and the compiled module as `messages`."""

from __future__ import annotations

from typing import Any

from nin_spec.serving.grpc.proto import open_inference_pb2

messages: Any = open_inference_pb2
"""The generated classes exist only at run time."""
