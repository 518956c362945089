"""Exported models behind the Open Inference Protocol v2: REST and gRPC, one batcher a model, one process.

A request goes: http/ or grpc/ (framing, limits) -> service (which model, does it fit) -> batcher (who runs together)
-> engine (onnxruntime, in the batcher's thread) -> back the same way.
"""
