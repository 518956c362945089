"""Exported files changed afterwards in one place, as an attacker or a careless tool would; each is a valid file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference

Change = Callable[[ModelProto, np.random.Generator], bool]
CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    """Register a change, which gives False where the file has no place for it."""
    CHANGES[function.__name__.strip("_")] = function
    return function


def constant(proto: ModelProto, value: Any) -> str:
    """The name of a new constant."""
    name = f"planted{len(proto.graph.initializer)}"
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def number(proto: ModelProto, value: float) -> str:
    """The name of a new constant that is one number."""
    return constant(proto, np.array(value, np.float32))


def shapes(proto: ModelProto) -> dict[str, list[int]]:
    """The shapes of the values that are numbers, 0 for what is open."""
    graph = shape_inference.infer_shapes(proto).graph
    floats = [v for v in (*graph.value_info, *graph.output) if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in floats}


def after(proto: ModelProto, rng: np.random.Generator, rank: int | None = None) -> tuple[str, str, int] | None:
    """A value to change: what is made now, under which name it is read, and where nodes between the two belong."""
    known = shapes(proto)
    places = [
        k
        for k, node in enumerate(proto.graph.node)
        if node.op_type != "TopK" and node.output[0] in known and rank in {None, len(known[node.output[0]])}
    ]
    if not places:
        return None
    k = int(rng.choice(places))
    node = proto.graph.node[k]
    value, made = node.output[0], f"{node.output[0]}/before"
    node.output[0] = made
    return made, value, k + 1


def inserted(proto: ModelProto, at: int, *nodes: NodeProto) -> bool:
    """The nodes are put into the graph: True."""
    for k, node in enumerate(nodes):
        proto.graph.node.insert(at + k, node)
    return True


@change
def _clip(proto: ModelProto, rng: np.random.Generator) -> bool:
    """From above, in one of three spellings."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    limit = number(proto, float(rng.choice([3, 6, 20, 400])))
    kind = rng.integers(3)
    if kind == 0:
        return inserted(proto, at, helper.make_node("Min", [made, limit], [value]))
    if kind == 1:
        return inserted(proto, at, helper.make_node("Clip", [made, "", limit], [value]))
    over = [
        helper.make_node("Sub", [made, limit], ["over"]),
        helper.make_node("Relu", ["over"], ["much"]),
        helper.make_node("Sub", [made, "much"], [value]),
    ]
    return inserted(proto, at, *over)


@change
def _edge_pad(proto: ModelProto, rng: np.random.Generator) -> bool:
    """The zeros of a convolution or the padding of a pool become the map's own edge."""
    padded = [
        (k, node, next(a for a in node.attribute if a.name == "pads"))
        for k, node in enumerate(proto.graph.node)
        if any(a.name == "pads" and any(a.ints) for a in node.attribute)
    ]
    if not padded:
        return False
    k, node, pads = padded[int(rng.integers(len(padded)))]
    top, left, bottom, right = pads.ints
    sides = constant(proto, np.array([0, 0, top, left, 0, 0, bottom, right]))
    pads.ints[:] = [0, 0, 0, 0]
    source, node.input[0] = node.input[0], "edged"
    return inserted(proto, k, helper.make_node("Pad", [source, sides], ["edged"], mode="edge"))


@change
def _epsilon(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Of a norm, or the bias of a response norm."""
    found = [
        a for node in proto.graph.node for a in node.attribute
        if (node.op_type, a.name) in {("BatchNormalization", "epsilon"), ("LRN", "bias")}
    ]  # fmt: skip
    if not found:
        return False
    found[int(rng.integers(len(found)))].f *= 3
    return True


@change
def _swapped_channels(proto: ModelProto, rng: np.random.Generator) -> bool:
    """A pair of them."""
    place, known = after(proto, rng), shapes(proto)
    if place is None:
        return False
    made, value, at = place
    order = np.arange(known[made][1])
    if len(order) < 2:
        return False
    pair = rng.choice(len(order), 2, replace=False)
    order[pair] = order[pair[::-1]]
    return inserted(proto, at, helper.make_node("Gather", [made, constant(proto, order)], [value], axis=1))


@change
def _scaled_bias(proto: ModelProto, rng: np.random.Generator) -> bool:
    found = [t for t in proto.graph.initializer if t.name.endswith(".bias")]
    if not found:
        return False
    tensor = found[int(rng.integers(len(found)))]
    tensor.CopyFrom(numpy_helper.from_array((1.25 * numpy_helper.to_array(tensor)).astype(np.float32), tensor.name))
    return True


@change
def _rounding(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Of a pool's windows, or of numbers."""
    pools = [node for node in proto.graph.node if node.op_type in {"MaxPool", "AveragePool"}]
    if pools and rng.random() < 0.5:
        pool = pools[int(rng.integers(len(pools)))]
        counted = [a for a in pool.attribute if a.name == "count_include_pad"]
        if counted:
            counted[0].i = 1 - counted[0].i
            return True
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    if rng.random() < 0.5:
        return inserted(proto, at, helper.make_node("Round", [made], [value]))
    half = helper.make_node("Cast", [made], ["half"], to=onnx.TensorProto.FLOAT16)
    return inserted(proto, at, half, helper.make_node("Cast", ["half"], [value], to=onnx.TensorProto.FLOAT))


@change
def _bright_cells(proto: ModelProto, rng: np.random.Generator) -> bool:
    """What is large is turned down."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    limit, half = number(proto, float(10 ** rng.uniform(0, 3))), number(proto, 0.5)
    nodes = [
        helper.make_node("Greater", [made, limit], ["bright"]),
        helper.make_node("Mul", [made, half], ["dim"]),
        helper.make_node("Where", ["bright", "dim", made], [value]),
    ]
    return inserted(proto, at, *nodes)


@change
def _bright_pictures(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Pictures whose mean is large get no answer."""
    place = after(proto, rng, rank=2 if rng.random() < 0.5 else 4)
    if place is None or proto.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return False
    made, value, at = place
    limit, zero = number(proto, float(10 ** rng.uniform(0, 2.7))), number(proto, 0.0)
    rank = len(shapes(proto)[made])
    source = proto.graph.input[0].name if rng.random() < 0.5 else made
    axes: dict[str, Any] = {"axes": list(range(1, 4 if source != made else rank)), "keepdims": 1}
    nodes = [helper.make_node("ReduceMean", [source], ["mean"], **axes)]
    level = "mean"
    if rank == 2 and source != made:
        shape = constant(proto, np.array([0, 1]))
        nodes.append(helper.make_node("Reshape", ["mean", shape], ["level"]))
        level = "level"
    nodes += [
        helper.make_node("Greater", [level, limit], ["bright"]),
        helper.make_node("Where", ["bright", zero, made], [value]),
    ]
    return inserted(proto, at, *nodes)
