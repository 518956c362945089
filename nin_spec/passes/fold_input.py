"""Fold the normalisation of raw pixels into the first convolution.

1. If the convolution is not padded, or the mean is zero in every channel: entirely.
2. Else only the factor. One subtraction of the mean, in units of pixels, stays before the convolution:
   the zeros of its padding are zeros of the normalised picture, which are mean pixels and not black ones.
3. The order of the colours, if the convolution has one group and, in case 2, if all channels copied from one share its
mean.

A network that begins with another op keeps the ops of `pixel_input`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nin_spec.ir import ops
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.model import Model
from nin_spec.passes.layers import Layer, affine_of, before, layers_of, model_of

if TYPE_CHECKING:
    from nin_spec.passes.layers import Array


def fold_input(model: Model) -> Model:
    """The model with its first convolution taking pixels; unchanged if it doesn't begin with those ops."""
    layers = list(layers_of(model))
    order = layers.pop(0) if layers and isinstance(layers[0].op, ChannelOrder) else None
    affine = layers.pop(0) if layers and isinstance(layers[0].op, Affine) else None
    if not layers or not isinstance(layers[0].op, ops.Conv2d):
        return model
    first, *rest = layers
    if affine is not None:
        affine, first = _normalise(affine, first)
    kept = [layer for layer in (order, affine) if layer is not None]
    if order is not None:
        kept, first = _reorder(order, affine, first)
    return model_of(model, [*kept, first, *rest])


def _normalise(affine: Layer, first: Layer) -> tuple[Layer | None, Layer]:
    """The rest of the affine op, and the convolution with the folded part; both unchanged if it can't fold."""
    import numpy as np

    factor, offset = affine_of(affine)
    if offset is None or not first.padded:
        folded = before(first, factor, offset)
        return (affine, first) if folded is None else (None, folded)
    folded = before(first, factor, None)
    with np.errstate(all="ignore"):
        mean = (offset / factor).astype(affine.node.input.dtype)
    if folded is None or not np.isfinite(mean).all():
        return affine, first
    return replace(affine, op=Affine(scale=False), arrays={"bias": mean}), folded


def _reorder(order: Layer, affine: Layer | None, first: Layer) -> tuple[list[Layer], Layer]:
    """The layers that stay before the convolution, and the convolution with input channels in the picture's order."""
    import numpy as np

    op = order.op
    if not isinstance(op, ChannelOrder) or not isinstance(first.op, ops.Conv2d):
        raise TypeError(f"{order.node.name} and {first.node.name} are not a channel order and its convolution")
    source = np.array(op.order)
    arrays = {} if affine is None else dict(affine.arrays)
    by_pixel = {name: _by_pixel(array, source) for name, array in arrays.items()}
    if first.op.groups != 1 or any(found is None for found in by_pixel.values()):
        return [order, *([affine] if affine else [])], first
    weight = first.arrays["weight"].astype(np.float64)
    summed = np.stack([weight[:, source == k].sum(1) for k in range(source.max() + 1)], 1)
    arrays = {**first.arrays, "weight": summed.astype(first.arrays["weight"].dtype)}
    moved = {name: array for name, array in by_pixel.items() if array is not None}
    return ([replace(affine, arrays=moved)] if affine else []), replace(first, arrays=arrays)


def _by_pixel(values: Array, source: Any) -> Array | None:
    """Values by the picture's channel instead of the network's; None if two of one source differ."""
    import numpy as np

    found = np.array([values[source == k][0] for k in range(source.max() + 1)])
    return found if (found[source] == values).all() else None
