"""Two ONNX files compared node by node: whether one is the other, but for the last bits of its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

_BITS = 16
"""Units in the last place, of a tensor's largest number, that unfolding and folding a norm again may cost."""


def first_difference(given: ModelProto, wanted: ModelProto) -> str | None:
    """The first difference between two files, as text; None if both compute the same."""
    return next(_differences(given, wanted), None)


def _differences(given: ModelProto, wanted: ModelProto) -> Iterator[str]:
    """Every difference, those of whole files first."""
    opsets = [{(o.domain, o.version) for o in model.opset_import} for model in (given, wanted)]
    if opsets[0] != opsets[1] or given.functions or given.graph.sparse_initializer or given.training_info:
        yield "it has another opset, or functions"
    for kind in ("input", "output"):
        for mine, theirs in _pairs(getattr(given.graph, kind), getattr(wanted.graph, kind)):
            if mine is None or theirs is None or _type(mine) != _type(theirs):
                yield f"its {kind} {(mine or theirs).name!r} is not the same"
    for node, other in _pairs(given.graph.node, wanted.graph.node):
        if node is None or other is None or _said(node) != _said(other):
            yield f"its node {(node or other).name or (node or other).op_type!r} is not the same"
    yield from _tensors(given, wanted)


def _pairs(mine: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    """The elements of two lists side by side, None behind the end of either."""
    for k in range(max(len(mine), len(theirs))):
        yield (mine[k] if k < len(mine) else None), (theirs[k] if k < len(theirs) else None)


def _type(value: ValueInfoProto) -> Any:
    """A value's name, element type and shape."""
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [d.dim_value or d.dim_param for d in tensor.shape.dim]


def _said(node: NodeProto) -> Any:
    """What a node computes from what, without its name."""
    attributes = sorted((a.name, a.SerializeToString(deterministic=True)) for a in node.attribute)
    return node.op_type, node.domain, list(node.input), list(node.output), attributes


def _tensors(given: ModelProto, wanted: ModelProto) -> Iterator[str]:
    """Differences of the initializers."""
    from onnx import numpy_helper

    mine, theirs = ({t.name: t for t in model.graph.initializer} for model in (given, wanted))
    if len(mine) != len(given.graph.initializer):
        yield "two of its tensors have the same name"
    for name in {**mine, **theirs}:
        if name not in mine or name not in theirs:
            yield f"its tensor {name!r} is {'surplus' if name in mine else 'missing'}"
        elif mine[name].data_type != theirs[name].data_type or mine[name].dims != theirs[name].dims:
            yield f"its tensor {name!r} has a different type or shape"
        elif not _close(numpy_helper.to_array(mine[name]), numpy_helper.to_array(theirs[name])):
            yield f"its tensor {name!r} has different values"


def _close(a: Any, b: Any) -> bool:
    """Whether two tensors are the same but for the last bits."""
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    a, b, unit = a.astype(np.float64), b.astype(np.float64), float(np.finfo(a.dtype).eps)
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    # An offset that two large sums leave is as exact as they are.
    allowed = _BITS * unit * (largest if a.ndim > 1 else max(largest, 1.0))
    return bool(np.allclose(a, b, rtol=0, atol=allowed, equal_nan=True))
