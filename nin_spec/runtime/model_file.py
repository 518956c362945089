"""An ONNX file, read before it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto


def read_model(source: bytes | str) -> ModelProto:
    """The model of a file, given as its bytes or its path, without weights that are outside it."""
    import onnx

    if isinstance(source, bytes):
        return onnx.load_model_from_string(source)
    return onnx.load_model(source, format="protobuf", load_external_data=False)
