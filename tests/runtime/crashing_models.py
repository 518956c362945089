"""ONNX files that make onnxruntime 1.31 end its process by a signal, and their like that do not; not a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

LOWEST = {kind: np.array([np.iinfo(kind).min], kind) for kind in (np.int32, np.int64)}
HEAD = [
    helper.make_node("GlobalAveragePool", ["maps"], ["pooled"], name="pool"),
    helper.make_node("Flatten", ["pooled"], ["scores"], name="flatten"),
]


def model(nodes: Sequence[NodeProto], constants: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """From `input` (N, 3, 8, 8) to `maps`, then to scores."""
    graph = helper.make_graph(
        [*nodes, *HEAD],
        "crashing",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", None])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(made, metadata or {})
    data: bytes = made.SerializeToString()
    return data


def scaled(nodes: Sequence[NodeProto], constants: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """The input times the sum of the integers `found`."""
    rest = [
        helper.make_node("Cast", ["found"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["number"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["input", "sum"], ["maps"]),
    ]
    return model([*nodes, *rest], constants, metadata)


def divided(operator: str, kind: Any, divisor: int, **given: Any) -> bytes:
    """The lowest integer by another one, both constant."""
    node = helper.make_node(operator, ["a", "b"], ["found"], name="quotient")
    return scaled([node], {"a": LOWEST[kind], "b": np.array([divisor], kind)}, **given)


def of_the_picture(operator: str, *, constant: int | None = None, kind: Any = np.int64) -> bytes:
    """Integers of the picture, divided by one another or by a constant."""
    number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [
        helper.make_node("Cast", ["input"], ["pixels"], to=number),
        helper.make_node("Add", ["pixels", "one"], ["more"]),
        helper.make_node(operator, ["pixels", "more" if constant is None else "by"], ["found"], name="quotient"),
    ]
    return scaled(nodes, {"one": np.array([1], kind), "by": np.array([constant or 0], kind)})


def in_a_branch(inner: NodeProto) -> bytes:
    """A node of a subgraph, which onnxruntime runs with every picture."""
    branches = [
        helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("chosen", TensorProto.INT64, None)])
        for node in (inner, helper.make_node("Identity", ["pixels"], ["chosen"]))
    ]
    nodes = [
        helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["bright"]),
        helper.make_node("If", ["bright"], ["found"], then_branch=branches[0], else_branch=branches[1]),
    ]
    return scaled(nodes, {"zero": np.array(0, np.float32), "minus": np.array([-1]), "two": np.array([2])})


_GROUPS = np.ones((3, 4, 3, 3), np.float32)
FAULTS = {
    "the lowest int64 / -1": divided("Div", np.int64, -1),
    "the lowest int32 / -1": divided("Div", np.int32, -1),
    "the lowest int64 modulo -1": divided("Mod", np.int64, -1),
    "the lowest int32 modulo -1": divided("Mod", np.int32, -1),
    "0 groups": model([helper.make_node("ConvTranspose", ["input", "w"], ["maps"], group=0)], {"w": _GROUPS}),
    "blocks of 2^62": model([helper.make_node("DepthToSpace", ["input"], ["maps"], blocksize=1 << 62)], {}),
}
"""Opening these ends the process."""
LATER = {
    "by what depends on the picture": of_the_picture("Div"),
    "modulo what depends on the picture": of_the_picture("Mod", kind=np.int32),
    "by -1": of_the_picture("Div", constant=-1),
    "by -1 in a branch": in_a_branch(helper.make_node("Div", ["pixels", "minus"], ["chosen"], name="quotient")),
}
"""Zeros pass, and some other picture ends the process."""
HARMLESS = {
    "the lowest int64 / 2": divided("Div", np.int64, 2),
    "by 2": of_the_picture("Div", constant=2),
    "modulo 3": of_the_picture("Mod", constant=3, kind=np.int32),
    "by 2 in a branch": in_a_branch(helper.make_node("Div", ["pixels", "two"], ["chosen"])),
    "bytes by bytes": of_the_picture("Div", kind=np.uint8),
    "3 groups": model([helper.make_node("ConvTranspose", ["input", "w"], ["maps"], group=3)], {"w": _GROUPS}),
}
