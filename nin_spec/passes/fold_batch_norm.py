"""Fold batch norm into the adjacent layer.

1. A batch norm after a convolution or a dense layer.
2. A batch norm after a convolution with 1x1 maps and its flatten.
3. A batch norm before a dense layer, or before an unpadded convolution: padding is zero before the convolution and
would not be zero before the batch norm.

The layer and its parameters keep their names; a layer without a bias gets one.
"""

from __future__ import annotations

from dataclasses import replace

from nin_spec.ir import ops
from nin_spec.model import Model
from nin_spec.passes.layers import Layer, affine_of, after, before, layers_of, model_of


def fold_batch_norm(model: Model) -> Model:
    """The model with batch norm folded where possible."""
    if not any(isinstance(node.op, ops.BatchNorm) for node in model.graph):
        return model
    done: list[Layer] = []
    for layer in layers_of(model):
        done = _backwards(done, layer) or _forwards(done, layer) or [*done, layer]
    return model_of(model, done)


def _backwards(done: list[Layer], norm: Layer) -> list[Layer] | None:
    """Cases 1 and 2: fold `norm` into the last layer, or into the one before a last flatten."""
    if not isinstance(norm.op, ops.BatchNorm) or not done:
        return None
    flat = isinstance(done[-1].op, ops.Flatten)
    kept, between = (done[:-1], done[-1]) if flat else (done, None)
    if not kept or not kept[-1].linear or norm.node.input.shape[0] != kept[-1].node.output.shape[0]:
        return None
    folded = after(kept[-1], *affine_of(norm))
    if folded is None:
        return None
    if between is None:
        return [*kept[:-1], _with_value(folded, norm.node.computes)]
    return [*kept[:-1], _with_value(folded, ""), _with_value(between, norm.node.computes)]


def _forwards(done: list[Layer], layer: Layer) -> list[Layer] | None:
    """Case 3: fold the last batch norm into `layer`."""
    if not done or not isinstance(done[-1].op, ops.BatchNorm) or not layer.linear or layer.padded:
        return None
    folded = before(layer, *affine_of(done[-1]))
    return None if folded is None else [*done[:-1], folded]


def _with_value(layer: Layer, value: str) -> Layer:
    return replace(layer, node=replace(layer.node, computes=value))
