"""What a file leaves open, the number of pictures in a batch and their size, and what depends on it.

Import reads a graph at one batch and one size. A graph that computes with its own shape may be another network at
others: where it compares them, or chooses by them. So the elements of a constant that depend on them are marked, from
Shape onwards. They may be moved, multiplied, and be the new shape of a Reshape; every other use is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nin_spec.importers.chain import refusal
from nin_spec.importers.onnx.evaluate import Constant, attributes, label

if TYPE_CHECKING:
    from onnx import NodeProto

Mask = NDArray[np.int64]
"""1 for an element that depends on what is open, else 0."""

_MOVES = frozenset({"Identity", "Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten"})
"""Operators that move the elements of their first input."""
_INTEGERS = {6, 7}
"""ONNX's numbers of int32 and int64."""
_ALL = (1 << 31) - 1
"""What exporters write for the end of an axis, at least."""
_HINT = "export it with a fixed batch and a fixed size"


class Constants(Protocol):
    """The constants of a graph, their masks, and how a node is computed."""

    constants: dict[str, Constant]
    open: dict[str, Mask]

    def evaluate(self, node: NodeProto, values: Mapping[str, Constant]) -> list[Constant]:
        """The results of one node."""


def refuse_open(node: NodeProto, masks: Mapping[str, Mask]) -> None:
    """Raises ForeignModelError where a node computes with what is open: all but a Reshape to that shape."""
    for k, name in enumerate(node.input):
        if name in masks and (node.op_type, k) not in {("Reshape", 1), ("Expand", 1)}:
            raise _depends(node)


def refuse_rows(node: NodeProto, source: Constants, rank: int | None) -> None:
    """Raises ForeignModelError where a node moves or chooses pictures of an open batch: it may choose the seventh.

    `rank` is that of its first input, None if unknown.
    """
    if node.input and node.input[0] not in source.constants and _acts_on_rows(node, source, rank):
        raise refusal(label(node), "it moves or chooses pictures of a batch that the file leaves open", _HINT)


def _acts_on_rows(node: NodeProto, source: Constants, rank: int | None) -> bool:
    """Whether a node does, for all that its constants and attributes say."""
    given = attributes(node)

    def numbers(key: str, place: int) -> list[int]:
        name = node.input[place] if len(node.input) > place else ""
        found = source.constants[name].reshape(-1).tolist() if name in source.constants else given.get(key, [])
        return [int(n) for n in found]

    match node.op_type:
        case "Gather" | "Split":
            return _is_first(given.get("axis", 0), rank)
        case "Flatten":
            return _is_first(given.get("axis", 1), rank)
        case "Softmax" | "LogSoftmax":
            return _is_first(given.get("axis", -1), rank)
        case kind if kind.startswith("Reduce"):
            axes = numbers("axes", 1)
            return any(_is_first(axis, rank) for axis in axes) or not (axes or given.get("noop_with_empty_axes"))
        case "Transpose":
            return bool(given.get("perm", [1])[0] != 0)
        case "Reshape":
            target = numbers("shape", 1)
            mask = source.open.get(node.input[1]) if len(node.input) > 1 else None
            return bool(target) and target[0] > 0 and (mask is None or not mask.reshape(-1)[0])
        case "Slice":
            starts, ends, steps = numbers("starts", 1), numbers("ends", 2), numbers("steps", 4)
            axes = numbers("axes", 3) or [*range(len(starts))]
            whole = [k for k, (a, b) in enumerate(zip(starts, ends, strict=True)) if a == 0 and b >= _ALL]
            whole = [k for k in whole if not steps or steps[k] == 1]
            return any(_is_first(axis, rank) for k, axis in enumerate(axes) if k not in whole)
        case _:
            return False


def _is_first(axis: int, rank: int | None) -> bool:
    """Whether an axis is, or may be, the first of at least two."""
    return axis == 0 or (axis < -1 and (rank is None or axis == -rank))


def opened_by(node: NodeProto, source: Constants) -> dict[str, Mask]:
    """The masks of a folded node's results, those without a 1 left out. Raises ForeignModelError."""
    masks = source.open
    if not any(name in masks for name in node.input):
        return {}
    found = _mask(node, source)
    return dict.fromkeys(node.output, found) if found.any() else {}


def _mask(node: NodeProto, source: Constants) -> Mask:
    """The mask of a folded node's result. Raises ForeignModelError."""
    values, masks = source.constants, source.open
    of = [masks.get(name, np.zeros_like(values[name], np.int64)) for name in node.input if name]
    match node.op_type:
        case "Shape" | "Size":
            return np.zeros(1, np.int64)  # a constant's own shape is known
        case "Concat":
            return _evaluated(node, source, of)
        case "Where" if not of[0].any():
            return _evaluated(node, source, [values[node.input[0]], *of[1:]])
        case "Mul":
            return of[0] | of[1]
        case "Cast" if values[node.output[0]].dtype.kind == "i":
            return of[0]
        case "Equal" if _never(values[node.input[1]], *of) or _never(values[node.input[0]], *reversed(of)):
            return np.zeros(1, np.int64)
        case kind if kind in _MOVES and not any(mask.any() for mask in of[1:]):
            return _evaluated(node, source, of[:1])
        case _:
            raise _depends(node)


def _never(other: Constant, open_: Mask, fixed: Mask) -> bool:
    """Whether what is open, which is at least 1, is compared with less alone."""
    open_, other = np.broadcast_arrays(open_, other)
    return not fixed.any() and bool((other[open_ == 1] < 1).all())


def _evaluated(node: NodeProto, source: Constants, first: list[Constant]) -> Mask:
    """The node's result for masks in place of its first inputs."""
    names = [name for name in node.input if name]
    values = source.constants | dict(zip(names, first, strict=False))
    return np.asarray(source.evaluate(node, values)[0], np.int64)


def _depends(node: NodeProto) -> Exception:
    """The error of a node that computes with what is open."""
    why = "it computes with the number of pictures in a batch, or with their size, and the file leaves them open"
    return refusal(label(node), why, _HINT)


# ------------------------------------------------------------------ inside a region, whose values are not constants

Kind = Literal["numbers", "filled"]
Sizes = dict[str, Kind]
"""Values of a region that depend on shapes alone: `numbers` of a shape, or an array that is `filled` to one."""
_ROW_BY_ROW = frozenset({
    *("Identity", "Pad", "AveragePool", "Slice", "Add", "Sub", "Mul", "Div", "Cast", "Pow", "Sqrt", "Reciprocal"),
})  # fmt: skip
"""Operators that keep the rows of a filled array apart: it has as many as the batch, and all are equal."""
_SHAPED = frozenset({
    *("Reshape", "Expand", "Slice", "Pad", "Split", "Squeeze", "Unsqueeze", "Gather"),
    *("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceLogSumExp"),
})  # fmt: skip
"""Operators whose inputs but the first say where numbers go, and are none of the numbers."""


def kind_of_size(node: NodeProto, sizes: Sizes, *, is_open: bool) -> Kind:
    """What a node's result is that depends on shapes alone. Raises ForeignModelError for other uses of what is open."""
    read = {k: sizes[name] for k, name in enumerate(node.input) if name in sizes}
    if node.op_type in {"Shape", "Size"}:
        return "numbers"
    if node.op_type == "ConstantOfShape" or (node.op_type == "Expand" and 0 not in read):
        return "filled"
    if "filled" in read.values():
        if is_open and (node.op_type not in _ROW_BY_ROW or "numbers" in read.values()):
            raise _depends(node)
        mixed = any(kind == "numbers" and not _is_shape(node, k) for k, kind in read.items())
        return "numbers" if mixed else "filled"
    moved = node.op_type in {"Concat", "Mul"} or (node.op_type in _MOVES and set(read) == {0})
    if is_open and not moved and not (node.op_type == "Cast" and attributes(node).get("to") in _INTEGERS):
        raise _depends(node)
    return "numbers"


def refuse_sizes(node: NodeProto, sizes: Sizes, *, is_open: bool) -> None:
    """Raises ForeignModelError where a node computes with the numbers of a shape.

    It may reshape to an open one, and use those of a fixed one for shapes, axes and indices.
    """
    for k, name in enumerate(node.input):
        if sizes.get(name) != "numbers":
            continue
        if is_open and (node.op_type, k) not in {("Reshape", 1), ("Expand", 1)}:
            raise _depends(node)
        if not _is_shape(node, k):
            raise refusal(label(node), "it computes with the size of its maps, which no layer of the language does")


def _is_shape(node: NodeProto, k: int) -> bool:
    """Whether a node's input `k` is a shape, an axis or an index."""
    return k > 0 and node.op_type in _SHAPED


# ------------------------------------------------------------------ the axes of a value inside a region


def open_axes(
    node: NodeProto, values: Mapping[str, Constant], axes: Mapping[str, Mask], masks: Mapping[str, Mask]
) -> Mask:
    """Which axes of a node's result have an open size, by those of its inputs; all where that is not known.

    `values` are the results and the constants, `masks` those of the constants.
    """
    result = values[node.output[0]]
    given = [axes[name] for name in node.input if name in axes]
    match node.op_type:
        case "Reshape":
            target, mask = values[node.input[1]], masks.get(node.input[1])
            fixed = (target > 0) if mask is None else (target > 0) & (mask == 0)
            return np.where(fixed, 0, 1)
        case "Transpose":
            order = attributes(node).get("perm", [*reversed(range(result.ndim))])
            moved: Mask = given[0][list(order)]
            return moved
        case "Slice" if len(node.input) > 3:
            first = _first_alone(values, node.input)
            return np.where(np.isin(np.arange(result.ndim), first), 0, given[0])
        case "Pad" | "AveragePool" | "MaxPool" | "LpPool":
            return given[0]
        case _ if all(len(mask) == result.ndim for mask in given) and all(
            values[name].shape in {result.shape, ()} or values[name].size == 1 for name in node.input if name
        ):
            joined: Mask = np.bitwise_or.reduce(given)
            return joined
        case _:
            return np.ones(result.ndim, np.int64)


def _first_alone(values: Mapping[str, Constant], names: Sequence[str]) -> list[int]:
    """The axes of which a Slice takes the first element alone: there is one, however many are open."""
    starts, ends, axes = (values[name].reshape(-1).tolist() for name in names[1:4])
    ndim = values[names[0]].ndim
    return [axis % ndim for start, end, axis in zip(starts, ends, axes, strict=True) if (start, end) == (0, 1)]
