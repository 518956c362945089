"""Small ONNX classifiers for the runtime's tests: a convolution, a ReLU, global average pooling."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nin_spec.diagnostics import NinSpecError

Dim = int | str


def classifier(
    shape: Sequence[Dim] = ("N", 3, 8, 8),
    classes: int = 4,
    metadata: Mapping[str, Any] | None = None,
    *,
    dtype: type[np.floating[Any]] = np.float32,
    tail: str | None = None,
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """`shape` to (N, classes). `metadata` keys go without their prefix; values that aren't texts become JSON."""
    rng = np.random.default_rng(0)
    channels = int(shape[1])
    nodes = [
        helper.make_node("Conv", ["input", "weight"], ["maps"], name="conv"),
        helper.make_node("Relu", ["maps"], ["active"], name="relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["means"], name="pool"),
        helper.make_node("Flatten", ["means"], ["flat" if tail else "scores"], name="flatten"),
    ]
    if tail:
        nodes.append(helper.make_node(tail, ["flat"], ["scores"], name="tail"))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weight = numpy_helper.from_array(rng.normal(size=(classes, channels, 3, 3)).astype(dtype), "weight")
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", kind, list(shape))],
        [helper.make_tensor_value_info("scores", kind, [shape[0], classes])],
        [weight],
    )
    model = helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
    properties = {f"nin_spec.{k}": v if isinstance(v, str) else json.dumps(v) for k, v in (metadata or {}).items()}
    helper.set_model_props(model, properties)
    return model


def content(*args: Any, **options: Any) -> bytes:
    """The bytes of `classifier(...)`."""
    serialized: bytes = classifier(*args, **options).SerializeToString()
    return serialized


def other_graph(nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any]) -> bytes:
    """The bytes of any other graph; inputs and outputs are (name, element type, shape)."""
    takes, gives = ([helper.make_tensor_value_info(*value) for value in values] for values in (inputs, outputs))
    graph = helper.make_graph(nodes, "other", takes, gives)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    serialized: bytes = model.SerializeToString()
    return serialized


FLOAT = TensorProto.FLOAT


def has_nvidia_driver() -> bool:
    """Asked of the loader, not of the code under test."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def refusal(error: type[NinSpecError], call: Callable[[], object]) -> Any:
    """The one diagnostic of the error that `call` raises."""
    with pytest.raises(error) as caught:
        call()
    (found,) = caught.value.diagnostics
    return found
