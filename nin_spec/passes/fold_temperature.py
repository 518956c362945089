"""Fold the temperature into the last layer with weights, if everything between them is positively homogeneous.

f is positively homogeneous if f(a x) = a f(x) for every a > 0: pools, ReLU and what only moves values are. So the
division may be done before them, by the weights and the bias of

1. a convolution or a dense layer,
2. a batch norm with a gain.

Otherwise, for example after a sigmoid, the graph keeps the division.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nin_spec.ir import ops
from nin_spec.ir.pixels import ChannelOrder
from nin_spec.ir.temperature import Temperature
from nin_spec.model import Model
from nin_spec.passes.layers import Layer, after, layers_of, model_of

HOMOGENEOUS = (
    ops.ReLU,
    ops.LeakyReLU,
    ops.PReLU,
    ops.Maxout,
    ops.Pool2d,
    ops.GlobalPool2d,
    ops.Dropout,
    ops.Dropout2d,
    ops.ChannelShuffle,
    ops.Flatten,
    ChannelOrder,
)
"""The ops that a positive factor passes through."""


def fold_temperature(model: Model) -> Model:
    """The model with the division in the weights, where that is exact."""
    layers = list(layers_of(model))
    at, host = host_of([layer.op for layer in layers])
    divided = _divided(layers[host], layers[at].op) if host >= 0 else None
    if divided is None:
        return model
    # The spec has none of the values between them any more; the last one is the temperature's.
    between = [_computing(layer, "") for layer in (divided, *layers[host + 1 : at])]
    between[-1] = _computing(between[-1], layers[at].node.computes)
    return model_of(model, [*layers[:host], *between, *layers[at + 1 :]])


def host_of(chain: Sequence[ops.Op]) -> tuple[int, int]:
    """The positions of the temperature, and of the op before it that its factor can't pass through; -1 for none."""
    at = next((k for k, op in enumerate(chain) if isinstance(op, Temperature)), -1)
    return at, next((k for k in range(at - 1, -1, -1) if not isinstance(chain[k], HOMOGENEOUS)), -1)


def _divided(layer: Layer, op: ops.Op) -> Layer | None:
    """The layer with its result divided; None if it can't be, or not in its dtype."""
    import numpy as np

    assert isinstance(op, Temperature)  # noqa: S101 its caller found it
    if layer.linear:
        return after(layer, np.full(len(layer.arrays["weight"]), 1 / op.value), None)
    if not isinstance(layer.op, ops.BatchNorm) or not layer.op.scale:
        return None
    with np.errstate(over="ignore"):
        own = {name: array / op.value for name, array in layer.arrays.items() if name in {"weight", "bias"}}
    if not all(np.isfinite(array).all() for array in own.values()):
        return None
    dtype = layer.node.input.dtype
    return replace(layer, arrays={**layer.arrays, **{name: array.astype(dtype) for name, array in own.items()}})


def _computing(layer: Layer, value: str) -> Layer:
    return replace(layer, node=replace(layer.node, computes=value))
