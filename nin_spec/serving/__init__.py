"""Exported models behind the Open Inference Protocol v2: REST and gRPC, one batcher per model, one process.

The way of a request: http/ or grpc/ (framing, limits) -> service (model lookup, validation) -> batcher (dynamic
batching) -> engine (onnxruntime, in the batcher's thread) -> and back.
"""
