"""ONNX files that never end, or unfold to gigabytes; not a test."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

Shape = tuple[str | int, ...]
SMALL: Shape = ("N", 3, 8, 8)
OPSET = [helper.make_opsetid("", 17)]


def _model(nodes: list[NodeProto], constants: list[TensorProto], shape: Shape = SMALL) -> bytes:
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])],
        constants,
    )
    data: bytes = helper.make_model(graph, ir_version=8, opset_imports=OPSET).SerializeToString()
    return data


def _head(name: str) -> list[NodeProto]:
    return [
        helper.make_node("GlobalAveragePool", [name], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["scores"], name="flatten"),
    ]


def looping() -> bytes:
    """A loop of 2^62 rounds, which runs with every input."""
    scalar = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("go", 9))]
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Neg", ["x"], ["y"])],
        "body",
        [*scalar, maps[0]],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, []), maps[1]],
    )
    constants = [
        numpy_helper.from_array(np.array(1 << 62), "rounds"),
        numpy_helper.from_array(np.array(True), "on"),
    ]
    loop = helper.make_node("Loop", ["rounds", "on", "input"], ["looped"], name="loop", body=body)
    return _model([loop, *_head("looped")], constants)


def plain(shape: Shape = SMALL) -> bytes:
    """The same without the loop."""
    return _model(_head("input"), [], shape)


def unfolding() -> bytes:
    """A constant of 16 GB, from some bytes of file."""
    shape = numpy_helper.from_array(np.array([4, 1 << 30]), "shape")
    one = numpy_helper.from_array(np.array([[1.0]], np.float32), "one")
    nodes = [
        helper.make_node("Expand", ["one", "shape"], ["large"], name="expand"),
        helper.make_node("ReduceMax", ["large"], ["most"], name="most", keepdims=0),
        helper.make_node("Mul", ["input", "most"], ["scaled"], name="scale"),
        *_head("scaled"),
    ]
    return _model(nodes, [shape, one])


def misnamed() -> bytes:
    """A node whose name is not UTF-8."""
    return plain().replace(b"flatten", b"flat\xff\xfen")
