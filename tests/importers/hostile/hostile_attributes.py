"""ONNX files with odd values for each attribute of each operator that import reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostile_graphs import NAN, Node, file_of
from onnx import AttributeProto, NodeProto, TensorProto, helper

HUGE, LOWEST = 1 << 62, -(1 << 63)
VALUES: dict[str, list[Any]] = {
    "pair": [None, [0, 0], [-1, -1], [HUGE, HUGE], [1], [1] * 7, 3, "text"],
    "sides": [None, [-1] * 4, [HUGE] * 4, [1 << 31] * 4, [1], [0] * 9, 1],
    "count": [0, -1, HUGE, LOWEST, 0.5, [1, 2], "one"],
    "number": [NAN, float("inf"), -float("inf"), 1e-45, 0.0, -1.0, 3.4e38, 1, [1.0]],
    "text": ["", "SAME", "SAME_UPPER", b"\xff\xfe", "x" * 5000, 1],
    "flag": [-1, 2, HUGE, 1.0],
    "axes": [[9], [-9], [1, 1], [HUGE], [0, 1, 2, 3], []],
}
"""None leaves the attribute out."""

OPERATORS: dict[str, tuple[list[str], dict[str, Any], dict[str, str]]] = {
    "Conv": (
        ["x", "w"],
        {},
        {
            "strides": "pair",
            "dilations": "pair",
            "kernel_shape": "pair",
            "pads": "sides",
            "group": "count",
            "auto_pad": "text",
        },
    ),
    "MaxPool": (
        ["x"],
        {"kernel_shape": [2, 2]},
        {
            "kernel_shape": "pair",
            "strides": "pair",
            "dilations": "pair",
            "pads": "sides",
            "ceil_mode": "flag",
            "storage_order": "flag",
        },
    ),
    "AveragePool": (
        ["x"],
        {"kernel_shape": [2, 2]},
        {"kernel_shape": "pair", "strides": "pair", "pads": "sides", "count_include_pad": "flag", "auto_pad": "text"},
    ),
    "BatchNormalization": (
        ["x", *["c3"] * 4],
        {},
        {"epsilon": "number", "momentum": "number", "training_mode": "flag"},
    ),
    "LRN": (["x"], {"size": 3}, {"size": "count", "alpha": "number", "beta": "number", "bias": "number"}),
    "LeakyRelu": (["x"], {}, {"alpha": "number"}),
    "Elu": (["x"], {}, {"alpha": "number"}),
    "Gemm": (["f", "dense"], {}, {"alpha": "number", "beta": "number", "transA": "flag", "transB": "flag"}),
    "Softmax": (["x"], {}, {"axis": "count"}),
    "Flatten": (["x"], {}, {"axis": "count"}),
    "Transpose": (["x"], {}, {"perm": "axes"}),
    "ReduceMean": (["x"], {}, {"axes": "axes", "keepdims": "flag"}),
    "Cast": (["x"], {}, {"to": "count"}),
    "Concat": (["x", "x"], {"axis": 1}, {"axis": "count"}),
    "Split": (["x"], {}, {"axis": "count"}),
    "Gather": (["x", "zero"], {}, {"axis": "count"}),
    "Constant": ([], {}, {"value_ints": "axes", "value_float": "number", "value_string": "text"}),
}
"""Inputs, usual attributes, and those that are tried, by kind."""


def attribute_of(key: str, value: Any) -> AttributeProto:
    """An attribute, an empty list too."""
    if value == []:
        return AttributeProto(name=key, type=AttributeProto.INTS)
    return helper.make_attribute(key, value)


def node_of(operator: str, key: str, value: Any) -> NodeProto:
    """The operator between its inputs and `c`, with one attribute of this value."""
    inputs, usual, _ = OPERATORS[operator]
    node = helper.make_node(operator, inputs, ["c"], name="odd", **{k: v for k, v in usual.items() if k != key})
    if value is not None:
        node.attribute.append(attribute_of(key, value))
    return node


def attributes() -> Iterator[tuple[str, bytes]]:
    """Each operator with each of its attributes at each odd value."""
    for operator, (_, _, kinds) in OPERATORS.items():
        for key, kind in kinds.items():
            for value in VALUES[kind]:
                shown = str(value)[:24]
                yield f"{operator}.{key}={shown}", file_of([*BEFORE.get(operator, []), node_of(operator, key, value)])


BEFORE: dict[str, list[Any]] = {"Gemm": [("Flatten", ["x"], ["f"], {})]}


def twisted() -> Iterator[tuple[str, bytes]]:
    """Attributes that are not what they say: another type, two values, one name twice, a reference."""
    for kind in range(15):
        node = node_of("Conv", "strides", [1, 1])
        node.attribute[0].type = kind
        yield f"strides of type {kind}", file_of([node])
    node = node_of("Conv", "strides", [1, 1])
    node.attribute.append(helper.make_attribute("strides", [2, 2]))
    yield "strides twice", file_of([node])
    node = node_of("MaxPool", "kernel_shape", [2, 2])
    node.attribute[0].ref_attr_name = "outer"
    yield "an attribute of no function", file_of([node])
    node = node_of("Conv", "group", 1)
    node.attribute.append(helper.make_attribute("", 1))
    yield "an attribute without a name", file_of([node])
    node = node_of("Elu", "alpha", 1.0)
    node.attribute[0].tensors.append(TensorProto(dims=[HUGE], data_type=1))
    yield "a tensor beside a number", file_of([node])


def regions() -> Iterator[tuple[str, bytes]]:
    """The same where two paths meet again, so that their values would have to be tried."""
    for operator, key, value in (
        *(("MaxPool", "kernel_shape", k) for k in ([512, 512], [HUGE, 1], [0, 1])),
        *(("MaxPool", "pads", p) for p in ([1 << 20] * 4, [HUGE] * 4, [-3] * 4)),
        *(("AveragePool", "strides", s) for s in ([0, 0], [-1, 1], [HUGE, HUGE])),
        *(("AveragePool", "ceil_mode", c) for c in (1, HUGE)),
        *(("AveragePool", "dilations", d) for d in ([3, 3], [HUGE, 1], [0, 0])),
        *(("Softmax", "axis", a) for a in (0, 9, LOWEST)),
        *(("Elu", "alpha", a) for a in (NAN, 1e38, 0.0)),
    ):
        fork: list[Node] = [
            node_of(operator, key, value),
            ("Mul", ["x", "c"], ["d"], {}),
            ("Sigmoid", ["d"], ["e"], {}),
        ]
        nodes = [*fork, ("Mul", ["d", "e"], ["last"], {})]
        yield f"fork {operator}.{key}={value}", file_of(nodes, last="last", shape=("n", 3, 512, 512))
