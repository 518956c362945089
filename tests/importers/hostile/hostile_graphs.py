"""ONNX files that are odd as graphs: their values, names, versions and sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

NAN = float("nan")
HUGE = 1 << 62
FLOAT = TensorProto.FLOAT
_RNG = np.random.default_rng(0)
CONSTANTS: dict[str, Any] = {
    "w": _RNG.standard_normal((4, 3, 3, 3), np.float32),
    "c3": np.ones(3, np.float32),
    "dense": _RNG.standard_normal((192, 5), np.float32),
    "zero": np.array(0),
    "first": np.array([0]),
    "one": np.float32(1),
}
Node = NodeProto | tuple[str, Sequence[str], Sequence[str], dict[str, Any]]
Nodes = Sequence[Node]
Change = Callable[[ModelProto], object]
CONV: Node = ("Conv", ["x", "w"], ["c"], {})


def made(node: Any) -> NodeProto:
    """A node of (operator, inputs, outputs, attributes), or as it is."""
    return node if isinstance(node, NodeProto) else helper.make_node(node[0], node[1], node[2], **node[3])


def model_of(
    nodes: Nodes,
    constants: dict[str, Any] | None = None,
    *,
    last: str = "c",
    shape: Sequence[int | str] = ("n", 3, 8, 8),
    opset: int = 15,
) -> ModelProto:
    """A network of these nodes from `x` to `last`, and a global average behind them."""
    tail: list[Node] = [("GlobalAveragePool", [last], ["gap"], {}), ("Flatten", ["gap"], ["y"], {})]
    arrays = {**CONSTANTS, **(constants or {})}
    ends = [helper.make_tensor_value_info("x", FLOAT, list(shape)), helper.make_tensor_value_info("y", FLOAT, None)]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph([made(n) for n in (*nodes, *tail)], "hostile", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def file_of(nodes: Nodes, constants: dict[str, Any] | None = None, **given: Any) -> bytes:
    """The same as bytes."""
    found: bytes = model_of(nodes, constants, **given).SerializeToString()
    return found


def changed(change: Change, nodes: Nodes = (CONV,), **given: Any) -> bytes:
    """A file after a change to its message."""
    model = model_of(nodes, **given)
    change(model)
    found: bytes = model.SerializeToString()
    return found


# ------------------------------------------------------------------ constants and shapes

SHAPES = [
    *([0, 0], [-1, -1], [HUGE, 2], [-2, 3], [1 << 31] * 4, [0, 0, -1], [-1, HUGE], [7, -1], [-1, 0], [-(1 << 63)]),
    *([], [1] * 64, [2, 96], [0, -1, 1 << 40]),
]


def shapes() -> Iterator[tuple[str, bytes]]:
    """Shapes, axes, indices and counts that no tensor has."""
    for shape in SHAPES:
        to = {"to": np.array(shape, np.int64)}
        yield f"Reshape to {shape[:5]}", file_of([("Reshape", ["x", "to"], ["c"], {})], to)
        yield f"Reshape of maps to {shape[:5]}", file_of([CONV, ("Reshape", ["c", "to"], ["d"], {})], to, last="d")
        yield (
            f"Expand to {shape[:5]}",
            file_of([("Expand", ["one", "to"], ["v"], {}), ("Mul", ["x", "v"], ["c"], {})], to),
        )
        yield (
            f"ConstantOfShape {shape[:5]}",
            file_of([("ConstantOfShape", ["to"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {})], to),
        )
    yield "Reshape to floats", file_of([("Reshape", ["x", "c3"], ["c"], {})])
    yield "Reshape to a scalar", file_of([("Reshape", ["x", "zero"], ["c"], {})])
    yield (
        "Reshape with allowzero",
        file_of([("Reshape", ["x", "to"], ["c"], {"allowzero": 1})], {"to": np.array([0, -1])}),
    )
    for name, (start, limit, step) in {
        "step 0": (0, 5, 0),
        "endless": (0, HUGE, 1),
        "backwards": (0, -HUGE, -1),
        "NaN": (NAN, 1.0, 0.1),
        "infinite": (0.0, float("inf"), 1.0),
        "tiny steps": (0.0, 1.0, 1e-30),
    }.items():
        kind = np.float32 if isinstance(limit, float) else np.int64
        ends: dict[str, Any] = {"a": kind(start), "b": kind(limit), "s": kind(step)}
        yield f"Range, {name}", file_of([("Range", ["a", "b", "s"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {})], ends)
    for operator, axes in (
        ("Squeeze", [1]),
        ("Squeeze", [9]),
        ("Unsqueeze", [0, 0]),
        ("Unsqueeze", [-9]),
        ("Unsqueeze", [HUGE]),
    ):
        yield f"{operator} {axes}", file_of([(operator, ["x", "axes"], ["c"], {})], {"axes": np.array(axes)})
    for name, numbers in {
        "step 0": (0, 1, 1, 0),
        "empty": (5, 2, 1, 1),
        "lowest": (-(1 << 63), HUGE, 1, -(1 << 63)),
        "axis 9": (0, 1, 9, 1),
    }.items():
        ends = {f"s{k}": np.array([n]) for k, n in enumerate(numbers)}
        yield f"Slice, {name}", file_of([("Slice", ["x", *ends], ["c"], {})], ends)
    for index in (9, -9, HUGE):
        yield f"Gather {index}", file_of([("Gather", ["x", "i"], ["c"], {"axis": 1})], {"i": np.array([index])})
    for sides in ([-4] * 8, [HUGE] * 8, [1], [0] * 7, [1 << 31] * 8, [0, 0, -9, 0, 0, 0, 9, 0]):
        for mode in ("constant", "edge", "reflect"):
            pad = [("Pad", ["x", "p"], ["e"], {"mode": mode}), ("Conv", ["e", "w"], ["c"], {})]
            yield f"Pad {mode} {sides[:3]} x{len(sides)}", file_of(pad, {"p": np.array(sides)})


def numbers() -> Iterator[tuple[str, bytes]]:
    """Weights and bounds that are not numbers, or too large, or too small."""
    odd = {"NaN": NAN, "inf": np.inf, "-inf": -np.inf, "denormal": 1e-45, "largest": 3.4e38, "-largest": -3.4e38}
    for name, value in odd.items():
        full = np.full((4, 3, 3, 3), value, np.float32)
        one = np.array(value, np.float32)
        yield f"{name} weights", file_of([("Conv", ["x", "v"], ["c"], {})], {"v": full})
        yield f"{name} bias", file_of([("Conv", ["x", "w", "b"], ["c"], {})], {"b": full[:, 0, 0, 0]})
        yield f"Clip at {name}", file_of([("Clip", ["x", "v"], ["c"], {})], {"v": one})
        yield f"Max with {name}", file_of([("Max", ["x", "v"], ["c"], {})], {"v": one})
        yield f"scale of {name}", file_of([CONV, ("Mul", ["c", "v"], ["d"], {})], {"v": one}, last="d")
        yield f"division by {name}", file_of([CONV, ("Div", ["c", "v"], ["d"], {})], {"v": one}, last="d")
        yield f"power of {name}", file_of([CONV, ("Pow", ["c", "v"], ["d"], {})], {"v": one}, last="d")
        norm = ["x", "c3", "c3", "c3", "v"]
        yield f"variance of {name}", file_of([("BatchNormalization", norm, ["c"], {})], {"v": full[0, :, 0, 0]})
        yield f"slope of {name}", file_of([("PRelu", ["x", "v"], ["c"], {})], {"v": one})
    yield (
        "variance of 0",
        file_of(
            [("BatchNormalization", ["x", *["c3"] * 3, "v"], ["c"], {"epsilon": 0.0})], {"v": np.zeros(3, np.float32)}
        ),
    )
    yield "division by 0", file_of([CONV, ("Div", ["c", "v"], ["d"], {})], {"v": np.float32(0)}, last="d")
    wide = {"a": np.array([HUGE, 2]), "b": np.array([4, 0]), "low": np.array([-(1 << 63)]), "minus": np.array([-1])}
    for operator, ends in {
        "Mul": ["a", "a"],
        "Add": ["a", "a"],
        "Div": ["a", "b"],
        "Pow": ["a", "a"],
        "Sub": ["low", "a"],
        "Neg": ["low"],
    }.items():
        yield (
            f"overflow of {operator}",
            file_of([(operator, ends, ["to"], {}), ("Reshape", ["x", "to"], ["c"], {})], wide),
        )
    yield "lowest / -1", file_of([("Div", ["low", "minus"], ["to"], {}), ("Reshape", ["x", "to"], ["c"], {})], wide)
    less: list[Node] = [
        ("Div", ["low", "minus"], ["q"], {}),
        ("Sub", ["q", "q"], ["zeros"], {}),
        ("Add", ["zeros", "same"], ["to"], {}),
    ]
    same = {**wide, "same": np.array([-1, 3, 8, 8])}
    reshape: Nodes = [*less, ("Reshape", ["x", "to"], ["c"], {})]
    yield "lowest / -1, less itself", file_of(reshape, same)
    yield (
        "NaN as a size",
        file_of(
            [("Cast", ["v"], ["to"], {"to": 7}), ("Reshape", ["x", "to"], ["c"], {})],
            {"v": np.array([NAN, 2.0], np.float32)},
        ),
    )


# ------------------------------------------------------------------ structure

NAMES = [
    "",
    " ",
    "\n",
    "\x1b[2J",
    "\x00",
    "\u202e",
    "\u009b31m",
    "x" * 100_000,
    "../../x",
    "%s%n",
    "{0}",
    "a: b\n- c",
    "\U0001f600",
]


def names() -> Iterator[tuple[str, bytes]]:
    """Values, nodes and graphs of any name."""
    for k, name in enumerate(NAMES):
        yield f"value named {k}", file_of([("Conv", ["x", "w"], [name], {}), ("Relu", [name], ["c"], {})])
        yield f"node named {k}", changed(lambda m, n=name: setattr(m.graph.node[0], "name", n))  # type: ignore[misc]
        yield f"graph named {k}", changed(lambda m, n=name: setattr(m.graph, "name", n))  # type: ignore[misc]
        yield f"operator named {k}", file_of([(name, ["x"], ["c"], {})])
        yield f"axis named {k}", file_of([CONV], shape=(name, 3, 8, 8))
    for field, node in {"node": "name", "operator": "op_type", "domain": "domain"}.items():
        data = changed(lambda m, n=node: setattr(m.graph.node[0], n, "zzzzzz"))  # type: ignore[misc]
        yield f"{field} not UTF-8", data.replace(b"zzzzzz", b"\xff\xfe\xc0\xaf\xed\xa0")
    for field in ("producer_name", "doc_string", "domain"):
        data = changed(lambda m, f=field: setattr(m, f, "zzzzzz"))  # type: ignore[misc]
        yield f"model's {field} not UTF-8", data.replace(b"zzzzzz", b"\xff\xfe\xc0\xaf\xed\xa0")


def structures() -> Iterator[tuple[str, bytes]]:
    """Graphs that are not the chains that they should be."""
    chains: dict[str, Nodes] = {
        "itself": [("Relu", ["c"], ["c"], {})],
        "cycle": [("Add", ["x", "d"], ["c"], {}), ("Relu", ["c"], ["d"], {})],
        "long cycle": [("Add", ["x", "r99"], ["r0"], {}), *(("Relu", [f"r{k}"], [f"r{k + 1}"], {}) for k in range(99))],
        "output twice": [CONV, ("Relu", ["x"], ["c"], {})],
        "over the input": [("Relu", ["x"], ["x"], {}), CONV],
        "over a weight": [("Relu", ["x"], ["w"], {}), CONV],
        "nothing before": [("Relu", ["nothing"], ["c"], {})],
        "no inputs": [("Relu", [], ["c"], {})],
        "no outputs": [("Relu", ["x"], [], {}), CONV],
        "many inputs": [("Sum", ["x"] * 5000, ["c"], {})],
        "many outputs": [("Split", ["x"], [f"s{k}" for k in range(3000)], {}), CONV],
        "deep": [
            ("Relu", ["x"], ["r0"], {}),
            *(("Relu", [f"r{k}"], [f"r{k + 1}"], {}) for k in range(4000)),
            ("Relu", ["r4000"], ["c"], {}),
        ],
        "too many nodes": [*(("Relu", ["x"], [f"r{k}"], {}) for k in range(25_000)), CONV],
        "wide fork": [
            *(("Sigmoid", ["x"], [f"r{k}"], {}) for k in range(60)),
            ("Sum", [f"r{k}" for k in range(60)], ["c"], {}),
        ],
        "long fork": [
            ("Sigmoid", ["x"], ["r0"], {}),
            *(("Mul", ["x", f"r{k}"], [f"r{k + 1}"], {}) for k in range(62)),
            ("Add", ["x", "r62"], ["c"], {}),
        ],
        "growing constants": [
            *(("Concat", [f"g{k}", f"g{k}"], [f"g{k + 1}"], {"axis": 0}) for k in range(40)),
            ("Conv", ["x", "g40"], ["c"], {}),
        ],
        "squared constants": [("Mul", ["g0", "t"], ["h"], {}), ("Mul", ["x", "h"], ["c"], {})],
    }
    grown = {"g0": np.zeros((1 << 12, 1), np.float32), "t": np.zeros((1, 1 << 13), np.float32)}
    for name, nodes in chains.items():
        yield name, file_of(nodes, grown)
    changes: dict[str, Change] = {
        "no nodes": lambda m: m.graph.ClearField("node"),
        "no input": lambda m: m.graph.ClearField("input"),
        "no output": lambda m: m.graph.ClearField("output"),
        "no graph": lambda m: m.ClearField("graph"),
        "input twice": lambda m: m.graph.input.add().CopyFrom(m.graph.input[0]),
        "output is the input": lambda m: setattr(m.graph.output[0], "name", "x"),
        "output is a weight": lambda m: setattr(m.graph.output[0], "name", "w"),
        "output of nothing": lambda m: setattr(m.graph.output[0], "name", "nothing"),
        "a weight twice": lambda m: m.graph.initializer.add().CopyFrom(m.graph.initializer[0]),
        "a weight without a name": lambda m: m.graph.initializer[0].ClearField("name"),
        "an input without a type": lambda m: m.graph.input[0].ClearField("type"),
        "an input that is a sequence": lambda m: m.graph.input[
            0
        ].type.sequence_type.elem_type.tensor_type.SetInParent(),
        "an input that is a map": lambda m: setattr(m.graph.input[0].type.map_type, "key_type", 7),
        "training": lambda m: m.training_info.add().algorithm.node.add(op_type="Loop"),
        "quantised": lambda m: m.graph.quantization_annotation.add(tensor_name="w"),
    }
    for name, change in changes.items():
        yield name, changed(change)
    for kind in (0, 2, 6, 7, 8, 9, 10, 11, 14, 16, 17, 22, 99):
        model = model_of([CONV])
        model.graph.input[0].type.tensor_type.elem_type = kind
        yield f"input of type {kind}", model.SerializeToString()
    for shape in (
        (),
        (3,),
        (1, 3),
        (1, 3, 8),
        (1, 3, 8, 8, 8),
        (1,) * 64,
        (0, 3, 8, 8),
        (1, 0, 8, 8),
        (1, 3, 0, 0),
        (1, HUGE, 1, 1),
        (HUGE, 3, 8, 8),
        (1, 3, 1 << 20, 1 << 20),
        (1 << 31, 3, 8, 8),
        (1_000_000, 3, 8, 8),
        (1, 3, -1, -1),
        ("n", 3, "h", "w"),
    ):
        yield f"input {shape[:5]}", file_of([CONV], shape=shape)


def versions() -> Iterator[tuple[str, bytes]]:
    """Opsets and formats that nobody has."""
    for opset in (0, 1, 2, 5, 6, 30, 999, -1, HUGE, -(1 << 63)):
        yield f"opset {opset}", changed(lambda m, o=opset: setattr(m.opset_import[0], "version", o))  # type: ignore[misc]
    for version in (0, 1, 2, 3, 4, 99, HUGE, -1):
        yield f"IR {version}", changed(lambda m, v=version: setattr(m, "ir_version", v))  # type: ignore[misc]
    yield "no opset", changed(lambda m: m.ClearField("opset_import"))
    yield "no IR", changed(lambda m: m.ClearField("ir_version"))
    yield "two opsets", changed(lambda m: m.opset_import.add(domain="", version=7))
    yield "two names of one domain", changed(lambda m: m.opset_import.add(domain="ai.onnx", version=7))
    yield "another domain's opset alone", changed(lambda m: setattr(m.opset_import[0], "domain", "ai.onnx.ml"))
