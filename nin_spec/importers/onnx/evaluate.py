"""One node computed, by ONNX's own reference implementation: at its file's opset, and within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.importers.budget import Budget
from nin_spec.importers.chain import reading, refusal
from nin_spec.importers.onnx import pools

if TYPE_CHECKING:
    from onnx import NodeProto

Constant = NDArray[Any]


def label(node: NodeProto) -> str:
    """The name of a node in messages."""
    name = node.name or (node.output[0] if node.output else "?")
    return f"{name} ({node.op_type})"


def attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes; texts as text."""
    from onnx import helper

    found = {a.name: helper.get_attribute_value(a) for a in node.attribute if not a.HasField("g")}
    return {key: v.decode("utf-8", "replace") if isinstance(v, bytes) else v for key, v in found.items()}


def evaluate_node(
    node: NodeProto, values: Mapping[str, Constant], opset: int, budget: Budget, *, kept: bool = False
) -> list[Constant]:
    """The results of one node of an opset. Raises ForeignModelError, before it makes more than the budget has.

    `kept` says that the results stay in memory for the whole import.
    """
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    feeds = {name: values[name] for name in node.input if name}
    with reading(label(node)), np.errstate(all="ignore"):
        given = [values[name] for name in node.input if name]
        budget.spend(numbers_made(node, given), label(node), kept=kept)
        _check_division(node, given)
        # Of a node alone the evaluator takes the newest opset; a function says its own.
        results = [name for name in node.output if name]
        one = helper.make_function("nin_spec", "one", list(feeds), results, [node], [helper.make_opsetid("", opset)])
        faster = pools.operators() if pools.is_plain(node, attributes(node)) else None
        return [np.asarray(v) for v in ReferenceEvaluator(one, new_ops=faster).run(None, feeds, attributes={})]


def _check_division(node: NodeProto, given: list[Constant]) -> None:
    """Raises ForeignModelError for a quotient of integers that is not one: onnxruntime would end the process."""
    if node.op_type == "Div" and given[0].dtype.kind == "i":
        dividend, divisor = np.broadcast_arrays(*given)
        lowest = np.iinfo(dividend.dtype).min
        if ((divisor == 0) | ((divisor == -1) & (dividend == lowest))).any():
            raise refusal(label(node), "it divides integers by 0, or the lowest integer by -1")


def numbers_made(node: NodeProto, given: list[Constant]) -> int:
    """How many numbers a node makes of its inputs, at most."""
    given_sizes = sum(array.size for array in given)
    match node.op_type:
        case "ConstantOfShape":
            return _volume(given[0])
        case "Expand":
            # Broadcasting goes both ways.
            return _volume(given[1]) * max(given[0].size, 1)
        case "Range":
            start, limit, step = (float(array.reshape(-1)[0]) for array in given)
            return math.ceil(abs(limit - start) / abs(step)) if step else given_sizes
        case "Gather":
            along = int(given[0].shape[attributes(node).get("axis", 0)])
            return given[0].size // max(along, 1) * given[1].size
        case "Pad":
            return _padded(node, given)
        case "Concat":
            return given_sizes
        case "AveragePool" | "MaxPool" | "LpPool":
            return pools.numbers_of_pool(node, attributes(node), given[0].shape)
        case _:
            shapes = [array.shape for array in given]
            together = _broadcast(shapes)
            return given_sizes if together is None else max(given_sizes, together)


def _volume(shape: Constant) -> int:
    """The elements of an array of this shape, where an axis of 0 counts as one."""
    return math.prod(max(int(n), 1) for n in shape.reshape(-1))


def _padded(node: NodeProto, given: list[Constant]) -> int:
    """The sides of every axis together, added to each axis: more than any Pad makes."""
    sides = attributes(node).get("pads", given[1] if len(given) > 1 else [])
    added = sum(abs(int(n)) for n in np.asarray(sides).reshape(-1))
    return math.prod(n + added for n in given[0].shape)


def _broadcast(shapes: list[tuple[int, ...]]) -> int | None:
    """The elements of arrays of these shapes together, None where they don't broadcast."""
    try:
        return math.prod(np.broadcast_shapes(*shapes))
    except ValueError:
        return None
