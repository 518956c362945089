"""The weights of a spec's network from those of a file that nin-spec exported: what the passes folded, unfolded.

A batch norm that was folded away comes back as one that changes nothing, with the offset that a layer without a bias
had got; the contract's scaling of pixels is taken out of the first convolution. Other numbers, the same network:
whether it is the same is not decided here, but by exporting it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nin_spec.importers.chain import Array, refusal
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.model import Model
from nin_spec.passes.fold_temperature import host_of
from nin_spec.passes.layers import affine_of, layers_of
from nin_spec.passes.pipeline import Rewriting
from nin_spec.passes.temperature import temperature_of

Tensors = Mapping[str, Array]


def spec_weights(graph: Graph, made: Rewriting, tensors: Tensors) -> dict[str, Array]:
    """The parameters of `graph`, of which `made` shows the passes that led to the file with these tensors.

    `made` is of any weights. Raises ForeignModelError, naming the tensor, where one is missing or of another shape.
    """
    held = {name: _shaped(name, p.shape, tensors) for name, p in made.model.graph.parameters().items()}
    for name, earlier, later in reversed(made.steps):
        undo = _UNDOING.get(name)
        if undo is not None:
            held = undo(earlier, later, held)
    return {name: np.asarray(held[name], graph.input.dtype) for name in graph.parameters()}


def _shaped(name: str, shape: tuple[int, ...], tensors: Tensors) -> Array:
    """A tensor of the file in float64, in the shape of the spec. Raises ForeignModelError."""
    if name not in tensors:
        raise refusal(name, "the file has no such tensor")
    found = np.asarray(tensors[name], np.float64)
    if found.size != int(np.prod(shape)):
        raise refusal(name, f"its shape is {found.shape}, but {shape} in the spec")
    return found.reshape(shape)


# ------------------------------------------------------------------ pixels


def _undo_input(earlier: Model, later: Model, held: dict[str, Array]) -> dict[str, Array]:
    """The first convolution as it was before the scaling and the order of the pixels went into it."""
    kept = {node.name for node in later.graph}
    layers = list(layers_of(earlier))
    first = next((layer for layer in layers if not isinstance(layer.op, Affine | ChannelOrder)), None)
    if first is None or not isinstance(first.op, ops.Conv2d):
        return held
    weight, bias = (held.get(f"{first.node.name}.{key}") for key in ("weight", "bias"))
    assert weight is not None  # noqa: S101 a convolution's
    for layer in layers[: layers.index(first)]:
        gone = layer.node.name not in kept
        if isinstance(layer.op, ChannelOrder):
            if gone:
                order = np.array(layer.op.order)
                weight = weight[:, order] / np.bincount(order)[order].reshape(1, -1, 1, 1)
            continue
        factor, offset = affine_of(layer)
        if gone or later.graph.nodes[[n.name for n in later.graph].index(layer.node.name)].op != layer.op:
            weight = weight / _by_input(factor, weight, first.op.groups)
        if gone and offset is not None:
            bias = _moved_back(first.op, weight, bias, offset)
    found = {f"{first.node.name}.weight": weight, **({} if bias is None else {f"{first.node.name}.bias": bias})}
    return {**{name: array for name, array in held.items() if name not in found}, **found}


def _by_input(values: Array, weight: Array, groups: int) -> Array:
    """What each output's group sees, in the shape of the weight."""
    seen = np.repeat(values.reshape(groups, -1), len(weight) // groups, axis=0)
    return seen.reshape(len(weight), weight.shape[1], *[1] * (weight.ndim - 2))


def _moved_back(op: ops.Conv2d, weight: Array, bias: Array | None, offset: Array) -> Array | None:
    """The bias without what an offset of the input adds to it; none where the layer has none."""
    added = (weight * _by_input(offset, weight, op.groups)).sum((1, 2, 3))
    return None if bias is None else bias - added


# ------------------------------------------------------------------ batch norm


@dataclass
class _Folded:
    """A layer with the batch norms that went into it: one before it at most, and those behind it."""

    layer: Node
    ahead: Node | None
    behind: list[Node]


def _undo_norms(earlier: Model, later: Model, held: dict[str, Array]) -> dict[str, Array]:
    """Norms that change nothing, but for the offset of a layer that has no bias in the spec."""
    found = dict(held)
    for folded in _folded(list(earlier.graph), {node.name for node in later.graph}):
        norms = [*([folded.ahead] if folded.ahead else []), *folded.behind]
        for norm in norms:
            found |= _neutral(norm, np.zeros(norm.input.shape[0]))
        name, op = folded.layer.name, folded.layer.op
        assert isinstance(op, ops.Conv2d | ops.Linear)  # noqa: S101 norms go into no other
        if norms and not op.bias and (bias := found.pop(f"{name}.bias", None)) is not None:
            if folded.behind:
                found |= _neutral(folded.behind[0], bias)
            else:
                offset = _offset_ahead(folded.layer, found[f"{name}.weight"], bias)
                found |= _neutral(norms[0], offset)
    return found


def _folded(nodes: Sequence[Node], kept: set[str]) -> list[_Folded]:
    """The layers of a graph, each with the norms around it that the next graph no longer has."""
    found: list[_Folded] = []
    waiting: Node | None = None
    last: _Folded | None = None
    for node in nodes:
        if isinstance(node.op, ops.BatchNorm) and node.name not in kept:
            if last is not None and node.input.shape[0] == last.layer.output.shape[0]:
                last.behind.append(node)
            else:
                waiting = node
        elif isinstance(node.op, ops.Conv2d | ops.Linear):
            last, waiting = _Folded(node, waiting, []), None
            found.append(last)
        elif not isinstance(node.op, ops.Flatten):
            last = None
    return found


def _neutral(norm: Node, offset: Array) -> dict[str, Array]:
    """A batch norm that adds `offset` by channel and changes nothing else."""
    op = norm.op
    assert isinstance(op, ops.BatchNorm)  # noqa: S101 its caller's
    ones = np.ones(norm.input.shape[0])
    found: dict[str, Array] = {"running_mean": 0 * ones, "running_var": ones if op.scale else ones * (1 - op.eps)}
    found |= {"weight": ones * np.sqrt(1 + op.eps)} if op.scale else {}
    # Without an offset of its own, a norm moves by its mean.
    found |= {"bias": offset} if op.shift else {"running_mean": -offset}
    return {f"{norm.name}.{name}": np.asarray(array, np.float64) for name, array in found.items()}


def _offset_ahead(layer: Node, weight: Array, bias: Array) -> Array:
    """The offset by input channel that gives the layer this bias: many do, and the smallest is taken."""
    groups = layer.op.groups if isinstance(layer.op, ops.Conv2d) else 1
    sums = weight.reshape(*weight.shape[:2], -1).sum(2).reshape(groups, -1, weight.shape[1])
    parts = zip(sums, bias.reshape(groups, -1), strict=True)
    return np.concatenate([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in parts])


# ------------------------------------------------------------------ class maps


def _undo_average_last(earlier: Model, _later: Model, held: dict[str, Array]) -> dict[str, Array]:
    """Dense layers in their own shape, where they had become 1x1 convolutions."""
    shapes = {name: p.shape for name, p in earlier.graph.parameters().items()}
    return {name: array.reshape(shapes[name]) for name, array in held.items()}


# ------------------------------------------------------------------ temperature


def _undo_temperature(earlier: Model, later: Model, held: dict[str, Array]) -> dict[str, Array]:
    """The layer that the temperature went into, as it was before."""
    value = temperature_of(earlier.graph)
    if value is None or temperature_of(later.graph) is not None:
        return held
    _, host = host_of([node.op for node in earlier.graph])
    names = {f"{earlier.graph.nodes[host].name}.{key}" for key in ("weight", "bias")}
    return {name: array * value if name in names else array for name, array in held.items()}


_UNDOING: dict[str, Any] = {
    "average_last": _undo_average_last,
    "fold_temperature": _undo_temperature,
    "fold_input": _undo_input,
    "fold_batch_norm": _undo_norms,
}
