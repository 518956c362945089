"""Convolutions and dense layers with their arrays, merged with what is affine by channel before or after them.

All arithmetic is in float64; arrays go back to the graph's dtype at the end. A merge whose result that dtype can't
represent is skipped: it would not be exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.ops import Op
from nin_spec.ir.pixels import Affine
from nin_spec.ir.types import Padding
from nin_spec.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Layer:
    """A future node with its op, and its arrays by the last component of their names."""

    node: Node
    op: Op
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @property
    def linear(self) -> bool:
        """True for a convolution or a dense layer."""
        return isinstance(self.op, ops.Conv2d | ops.Linear)

    @property
    def padded(self) -> bool:
        """True for a convolution that sees zeros around its input."""
        return isinstance(self.op, ops.Conv2d) and self.op.padding != Padding()


def layers_of(model: Model) -> Iterator[Layer]:
    """The layers of a model in order."""
    for node in model.graph:
        names = {p.name: f"{node.name}.{p.name}" for p in node.op.parameters(node.input)}
        yield Layer(node, node.op, {name: model.weights[full] for name, full in names.items()})


def model_of(model: Model, layers: Iterable[Layer]) -> Model:
    """`model` made of other layers, from the same input."""
    kept = list(layers)
    built = model.graph.rebuilt((layer.node, layer.op) for layer in kept)
    weights = {f"{layer.node.name}.{name}": array for layer in kept for name, array in layer.arrays.items()}
    return Model(built, {name: weights[name] for name in built.parameters()}, model.card)


def affine_of(layer: Layer) -> tuple[Array, Array | None]:
    """Factor and offset by channel of a batch norm or an affine op; None for no offset."""
    import numpy as np

    found = {name: array.astype(np.float64) for name, array in layer.arrays.items()}
    if isinstance(layer.op, Affine):
        return found.get("weight", np.ones(layer.node.input.shape[0])), found.get("bias")
    if not isinstance(layer.op, ops.BatchNorm):
        raise TypeError(f"{layer.node.name} is not an affine op")
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = found.get("weight", 1.0) / np.sqrt(found["running_var"] + layer.op.eps)
        return factor, found.get("bias", 0.0) - found["running_mean"] * factor


def after(layer: Layer, factor: Array, offset: Array | None) -> Layer | None:
    """One layer for factor * layer(x) + offset; None if the dtype can't represent it."""
    import numpy as np

    weight = layer.arrays["weight"].astype(np.float64)
    bias = layer.arrays.get("bias")
    total = None if bias is None else bias.astype(np.float64) * factor
    with np.errstate(over="ignore", invalid="ignore"):
        weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
        return _with(layer, weight, _sum(total, offset))


def before(layer: Layer, factor: Array, offset: Array | None) -> Layer | None:
    """One layer for layer(factor * x + offset); with an offset it must not be padded. None as for `after`."""
    import numpy as np

    weight = layer.arrays["weight"].astype(np.float64)
    inputs = (len(weight), weight.shape[1], *(1,) * (weight.ndim - 2))
    groups = layer.op.groups if isinstance(layer.op, ops.Conv2d) else 1

    def by_output(values: Array) -> Array:
        """What each output's group sees, in the shape of the weight."""
        return np.repeat(values.reshape(groups, -1), len(weight) // groups, axis=0).reshape(inputs)

    bias = layer.arrays.get("bias")
    total: Array | None = None if bias is None else bias.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if offset is not None:
            total = _sum(total, (weight * by_output(offset)).sum(tuple(range(1, weight.ndim))))
        return _with(layer, weight * by_output(factor), total)


def _sum(a: Array | None, b: Array | None) -> Array | None:
    return b if a is None else a if b is None else a + b


def _with(layer: Layer, weight: Array, bias: Array | None) -> Layer | None:
    import numpy as np

    dtype = layer.node.input.dtype
    arrays = {"weight": weight.astype(dtype)} | ({} if bias is None else {"bias": bias.astype(dtype)})
    if not all(np.isfinite(a).all() for a in arrays.values()):
        return None
    if isinstance(layer.op, ops.Conv2d | ops.Linear):
        return replace(layer, op=replace(layer.op, bias=bias is not None), arrays=arrays)
    raise TypeError(f"{layer.node.name} is neither a convolution nor a dense layer")
