"""Nodes of an ONNX graph as one function: which may be known by their values, and with which constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nin_spec.importers.chain import Array
from nin_spec.importers.onnx.evaluate import attributes, label
from nin_spec.importers.onnx.openness import open_axes
from nin_spec.importers.onnx.walk import Walk
from nin_spec.importers.onnx.windows import sides_of, window_of
from nin_spec.importers.recognise import Hinted, hinted
from nin_spec.importers.regions import Region, plain_input
from nin_spec.ir.types import Padding

if TYPE_CHECKING:
    from onnx import NodeProto

_POINTWISE = frozenset({
    *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Reciprocal", "Sqrt", "Pow", "Exp", "Log", "Erf", "Sum", "Mean"),
    *("Sigmoid", "Tanh", "Softplus", "Softsign", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Mish"),
    *("Swish", "HardSigmoid", "HardSwish", "ThresholdedRelu", "Max", "Min", "Clip", "Where", "Identity", "Cast"),
    *("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Not", "And", "Or", "Xor", "Sign"),
})  # fmt: skip
_ACROSS = frozenset({
    *("Reshape", "Transpose", "Slice", "Gather", "Concat", "Split", "Squeeze", "Unsqueeze", "Flatten", "Expand"),
    *("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceLogSumExp", "Softmax"),
    *("LogSoftmax", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Pad", "Shape", "CastLike"),
    "LpPool",
})  # fmt: skip
OF_SIZES = frozenset({"Shape", "Size", "ConstantOfShape", "Range", "ReduceProd", "Floor", "Ceil", "Mod", "Cast"})
"""What a region may compute of shapes alone, besides."""
_WINDOWED = ("AveragePool", "LpPool")
"""Pools that may be part of how another pool, or a response norm, is written."""


def unknowable(node: NodeProto) -> str | None:
    """Why trials can't identify a node: it rounds, draws or counts. None where they do."""
    from onnx import TensorProto

    if node.domain not in {"", "ai.onnx"} or node.op_type not in _POINTWISE | _ACROSS:
        return "the language has no equivalent of it"
    to = attributes(node).get("to", TensorProto.FLOAT) if node.op_type == "Cast" else TensorProto.FLOAT
    kind = TensorProto.DataType.Name(to)
    return None if kind in {"FLOAT", "DOUBLE"} else f"it rounds to {kind}"


def region_of(walk: Walk, nodes: Sequence[NodeProto], result: str) -> Region:
    """The nodes as a function of (N, C, H, W), or of features."""
    last = walk.channels_last
    source, value = walk.source, walk.value
    held, constants = _uses(nodes, source.constants)
    known = source.constants | constants

    def compute(x: Array, changed: Mapping[str, Array]) -> Array:
        values = {**known, **changed, value: x.transpose(0, 2, 3, 1) if last and x.ndim == 4 else x}
        for node in held:
            altered = _with_attributes(node, changed)
            values.update(zip(node.output, source.evaluate(altered, values), strict=False))
        found: Array = values[result]
        return found.transpose(0, 3, 1, 2) if last and found.ndim == 4 else found

    pointwise = all(node.op_type in _POINTWISE for node in held) and all(map(_is_column, constants.values()))
    return Region(compute, constants | _numbers(held, source.opset), pointwise)


def _uses(nodes: Sequence[NodeProto], known: Mapping[str, Array]) -> tuple[list[NodeProto], dict[str, Array]]:
    """The nodes, and the constants of numbers that they read, each use of one under a name of its own.

    A constant that acts in one place may wait in another.
    """
    count = Counter(name for node in nodes for name in node.input if name in known and known[name].dtype.kind == "f")
    held, constants = [], {name: known[name] for name in sorted(count) if count[name] == 1}
    for node in nodes:
        if any(count[name] > 1 for name in node.input):
            made = type(node).FromString(node.SerializeToString())
            made.input[:] = [f"{name} in {label(node)}" if count[name] > 1 else name for name in node.input]
            constants |= {new: known[old] for new, old in zip(made.input, node.input, strict=True) if new != old}
            node = made  # noqa: PLW2901 the same, but for names
        held.append(node)
    return held, constants


def hinted_by(walk: Walk, nodes: Sequence[NodeProto], constants: Mapping[str, Array]) -> list[Hinted]:
    """What a region may be, by the windows of its pools and the numbers in it; a response norm pools over channels."""
    pools = [(node, tuple(attributes(node).get("kernel_shape", ()))) for node in nodes if node.op_type in _WINDOWED]
    windows = [window_of(node) for node, kernel in pools if len(kernel) == 2][:1]
    pads = [sides_of(walk, node) for node in nodes if node.op_type == "Pad" and windows][:1]
    sizes = [int(kernel[0]) for _, kernel in pools if len(kernel) == 3 and kernel[1:] == (1, 1)]
    own = [float(v) for node, _ in pools for v in attributes(node).values() if type(v) is int]
    return hinted(windows, [Padding(*pad[2], *pad[3]) for pad in pads], sizes, constants, own)


def tell_shapes(walk: Walk, nodes: Sequence[NodeProto]) -> bool:
    """What asks for the shape of the last node's results gets it, and is computed. Whether anything asks."""
    source = walk.source
    asked = [name for name in nodes[-1].output if source.asks_shape(name)]
    if not asked:
        return False
    x = plain_input((walk.batch, *walk.chain.output.shape))
    values = {**source.constants, walk.value: x.transpose(0, 2, 3, 1) if walk.channels_last and x.ndim == 4 else x}
    axes = {walk.value: walk.open_axes}
    for node in nodes:
        values.update(zip(node.output, source.evaluate(node, values), strict=False))
        axes[node.output[0]] = open_axes(node, values, axes, source.open)
    for name in asked:
        shape = values[name].shape
        source.tell_shape(name, shape, axes.get(name, np.ones(len(shape), np.int64)))
    return True


def _is_column(constant: Array) -> bool:
    """Whether it has one number, or one a channel with the channels first."""
    return constant.size == 1 or (constant.ndim >= 3 and constant.shape[-2:] == (1, 1))


def _numbers(nodes: Sequence[NodeProto], opset: int) -> dict[str, Array]:
    """The numbers in attributes, by `node.attribute`, and the usual ones of operators that work on each element.

    Without the value of a Pad that pads nothing; the usual one of any Pad acts at the borders alone.
    """
    from onnx import numpy_helper

    found: dict[str, Array] = {}
    for node in nodes:
        given = attributes(node) if node.op_type not in _POINTWISE else _usual(node.op_type, opset) | attributes(node)
        idle = node.op_type == "Pad" and not any(given.get("pads", [1]))
        for key, value in given.items():
            if isinstance(value, float) and not idle:
                found[f"{label(node)}.{key}"] = np.array(value)
            elif node.op_type == "ConstantOfShape":
                found[f"{label(node)}.{key}"] = numpy_helper.to_array(value)
    return found


@cache
def _usual(operator: str, opset: int) -> dict[str, float]:
    """The numbers that an operator has where a node leaves them out."""
    from onnx import defs, helper

    defaults = {key: each.default_value for key, each in defs.get_schema(operator, opset).attributes.items()}
    values = {key: helper.get_attribute_value(d) for key, d in defaults.items() if d.HasField("f")}
    return {key: value for key, value in values.items() if isinstance(value, float)}


def _with_attributes(node: NodeProto, changed: Mapping[str, Array]) -> NodeProto:
    """The node with the attributes that are to be changed."""
    from onnx import helper, numpy_helper

    own = f"{label(node)}."
    new = {key.removeprefix(own): value for key, value in changed.items() if key.startswith(own)}
    if not new:
        return node
    made: NodeProto = type(node).FromString(node.SerializeToString())
    kept = [a for a in made.attribute if a.name not in new]
    del made.attribute[:]
    made.attribute.extend(kept)
    for key, value in new.items():
        tensor = node.op_type == "ConstantOfShape"
        made.attribute.append(helper.make_attribute(key, numpy_helper.from_array(value) if tensor else float(value)))
    return made
