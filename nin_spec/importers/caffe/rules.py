"""How each type of Caffe's layers is read: one rule per type, found by its name.

Sources: BVLC/caffe, src/caffe/layers/*_layer.cpp; where a rule differs from other frameworks it says how.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nin_spec.importers.caffe.file import Layer
from nin_spec.importers.caffe.fillers import init_of
from nin_spec.importers.caffe.proto import messages
from nin_spec.importers.caffe.walk import CaffeWalk
from nin_spec.importers.chain import refusal, registry
from nin_spec.importers.recognise import Affine, rounded
from nin_spec.importers.rescaling import rescaled
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, Pair

Rule = Callable[[CaffeWalk, Layer], None]
RULES: dict[str, Rule] = {}
WEIGHTED = frozenset({"CCCP", "Convolution", "InnerProduct"})
"""Types with a weight and a bias."""
rule = registry(RULES)
"""`@rule("Convolution")`: the rule of layers, by their types."""


# ------------------------------------------------------------------ windows


def pair_of(layer: Layer, param: Any, key: str, usual: int) -> Pair:
    """A window's `kernel_size`, `stride`, `pad` or `dilation`: one number, one an axis, or `_h` and `_w`."""
    short = key.removesuffix("_size")
    values, sides = list(getattr(param, key)), [f"{short}_h", f"{short}_w"]
    given = [side for side in sides if side in param.DESCRIPTOR.fields_by_name and param.HasField(side)]
    if given and (values or len(given) == 1):
        raise refusal(layer.origin, f"set either {key} or {' and '.join(sides)}, not both")
    values = [getattr(param, side) for side in given] or values or [usual]
    if len(values) > 2:
        raise refusal(layer.origin, f"its {key} has {len(values)} axes, but pictures have two")
    return values[0], values[-1]


def _window(layer: Layer, param: Any) -> tuple[Pair, Pair, Padding]:
    """Kernel, stride and padding."""
    kernel, stride = pair_of(layer, param, "kernel_size", 0), pair_of(layer, param, "stride", 1)
    pad = pair_of(layer, param, "pad", 0)
    if min(*kernel, *stride) < 1:
        raise refusal(layer.origin, "its kernel_size is missing" if min(kernel) < 1 else "a stride of 0")
    return kernel, stride, Padding(pad[0], pad[0], pad[1], pad[1])


def _channels(layer: Layer, param: Any) -> int:
    """The number of output channels. Raises ForeignModelError where it is missing."""
    if param.num_output < 1:
        raise refusal(layer.origin, "its num_output is missing")
    return int(param.num_output)


def _plain_axis(layer: Layer, axis: int, wanted: Sequence[int] = (1,)) -> None:
    """Raises ForeignModelError for an axis that is not one of those wanted."""
    if axis not in wanted:
        raise refusal(layer.origin, f"it works along axis {axis}, but the language supports only channels")


@rule("Convolution")
def _convolution(walk: CaffeWalk, layer: Layer) -> None:
    """Its weights are (outputs, inputs / groups, height, width), as ours."""
    param = layer.param("convolution_param")
    _plain_axis(layer, param.axis, (1, -3))
    kernel, stride, padding = _window(layer, param)
    dilation = pair_of(layer, param, "dilation", 1)
    groups = param.group
    if min(*dilation, groups) < 1:
        raise refusal(layer.origin, "a dilation or a group of 0")
    op = ops.Conv2d(_channels(layer, param), kernel, stride, padding, dilation, groups, param.bias_term)
    _with_weights(walk, layer, op, param)


@rule("CCCP")
def _cccp(walk: CaffeWalk, layer: Layer) -> None:
    """The paper's 1x1 layer; `num_output` counts for each group. Source: cccp_layer.cpp of the author's fork."""
    param = layer.param("cccp_param")
    if param.group < 1:
        raise refusal(layer.origin, "a group of 0")
    op = ops.Conv2d(param.group * _channels(layer, param), (1, 1), groups=param.group, bias=param.bias_term)
    _with_weights(walk, layer, op, param)


@rule("InnerProduct")
def _inner_product(walk: CaffeWalk, layer: Layer) -> None:
    """It flattens by itself, in the order channel, row, column as we do."""
    param = layer.param("inner_product_param")
    _plain_axis(layer, param.axis)
    _flat(walk, layer)
    _with_weights(walk, layer, ops.Linear(_channels(layer, param), param.bias_term), param)


def _with_weights(walk: CaffeWalk, layer: Layer, op: ops.Conv2d | ops.Linear, param: Any) -> None:
    """The step, its arrays, how they begin."""
    shapes = _shapes(walk, layer, op)
    ours, turned = shapes["weight"], isinstance(op, ops.Linear) and param.transpose
    if turned:
        shapes["weight"] = ours[::-1]
    elif layer.type == "CCCP":
        shapes["weight"] = (1, 1, *ours[:2])
    blobs = walk.blobs(layer, **shapes)
    weight = blobs["weight"].T if turned else blobs["weight"].reshape(ours)
    blobs = {**blobs, "weight": weight}
    init = None
    if param.HasField("weight_filler"):
        init = init_of(param.weight_filler, param.bias_filler if param.bias_term else None)
        if init is None:
            walk.remarks.append(f"{layer.name}: the language does not support its initialisation: check init")
    walk.add(op, layer, init, **blobs)


def _shapes(walk: CaffeWalk, layer: Layer, op: ops.Op) -> dict[str, tuple[int, ...]]:
    """The shapes of an op's tensors, once it is known to fit."""
    from nin_spec.ir.types import ShapeError

    try:
        op.infer(walk.chain.output)
    except ShapeError as error:
        raise refusal(layer.origin, str(error), error.hint) from None
    return {p.name: p.shape for p in op.parameters(walk.chain.output)}


_POOLS: dict[int, ops.GlobalPool2d] = {
    messages.PoolingParameter.MAX: ops.AdaptiveMaxPool2d(),
    messages.PoolingParameter.AVE: ops.AdaptiveAvgPool2d(),
}


@rule("Pooling")
def _pooling(walk: CaffeWalk, layer: Layer) -> None:
    """Windows round up by default; an average divides by the cells of the window and its padding."""
    param = layer.param("pooling_param")
    pool = _POOLS.get(param.pool)
    if pool is None:
        raise refusal(layer.origin, "stochastic pooling is outside the language")
    if param.global_pooling:
        if param.kernel_size or param.HasField("kernel_h") or param.HasField("kernel_w"):
            raise refusal(layer.origin, "a global pool has no kernel_size")
        walk.add(pool, layer)
        return
    kernel, stride, padding = _window(layer, param)
    up = param.round_mode == messages.PoolingParameter.CEIL
    op = pool.over(kernel, stride, padding, up)
    if isinstance(op, ops.AvgPool2d):
        op = replace(op, count_include_pad=padding != Padding())
    _check_windows(walk, layer, op)
    walk.add(op, layer)


def _check_windows(walk: CaffeWalk, layer: Layer, op: ops.Pool2d) -> None:
    """Without padding Caffe keeps a last window that begins beyond the map, and outputs NaN there."""
    _shapes(walk, layer, op)
    _, *sides = walk.chain.output.shape
    for side, kernel, stride, count in zip(sides, op.kernel_size, op.stride, op.counts(walk.chain.output), strict=True):
        if op.ceil_mode and op.padding == Padding() and math.ceil((side - kernel) / stride) + 1 != count:
            raise refusal(layer.origin, f"its last window starts beyond the map of {side} cells, and sees nothing")


# ------------------------------------------------------------------ norms


@rule("LRN")
def _lrn(walk: CaffeWalk, layer: Layer) -> None:
    """Across channels, over an odd number of them."""
    param = layer.param("lrn_param")
    if param.norm_region != messages.LRNParameter.ACROSS_CHANNELS:
        raise refusal(layer.origin, "WITHIN_CHANNEL is outside the language, which normalises across channels")
    if param.local_size % 2 == 0:
        raise refusal(layer.origin, f"its local_size {param.local_size} is even, but must be odd")
    numbers = (rounded(value) for value in (param.alpha, param.beta, param.k))
    walk.add(ops.LocalResponseNorm(param.local_size, *numbers), layer)


@rule("BatchNorm")
def _batch_norm(walk: CaffeWalk, layer: Layer) -> None:
    """Its blobs are sums: the third is what the first two are divided by. A gain comes with a Scale."""
    param, shape = layer.param("batch_norm_param"), walk.chain.output.shape[:1]
    blobs = walk.blobs(layer, mean=shape, variance=shape, factor=(1,))
    share = 0.0 if blobs["factor"][0] == 0 else 1 / blobs["factor"][0]
    if param.HasField("use_global_stats") and param.use_global_stats:
        walk.remarks.append(f"{layer.name}: its statistics were not learned (use_global_stats); ours would be")
    momentum = rounded(1 - rounded(param.moving_average_fraction))
    op = ops.BatchNorm(rounded(param.eps), momentum, scale=False, shift=False)
    walk.add(op, layer, running_mean=blobs["mean"] * share, running_var=blobs["variance"] * share)


@rule("Scale")
def _scale(walk: CaffeWalk, layer: Layer) -> None:
    """The affine part of the batch norm before it; elsewhere, part of the convolution before it."""
    param, shape = layer.param("scale_param"), walk.chain.output.shape[:1]
    _plain_axis(layer, param.axis)
    if param.num_axes != 1:
        raise refusal(layer.origin, f"a scale over {param.num_axes} axes, but the language supports one per channel")
    if not walk.chain.steps:
        raise refusal(layer.origin, "it scales the picture itself", "use input.preprocess instead")
    blobs = walk.blobs(layer, gain=shape, **({"offset": shape} if param.bias_term else {}))
    gain, offset = blobs["gain"], blobs.get("offset", np.zeros(shape, np.float32))
    last = walk.chain.steps[-1]
    if not isinstance(last.op, ops.BatchNorm) or last.op.scale:
        walk.remarks.append(f"{layer.name}: its scale became part of the layer before it")
        walk.chain = rescaled(walk.chain, Affine(gain, offset), layer.origin)
        return
    walk.chain = replace(walk.chain, steps=walk.chain.steps[:-1])
    arrays = {"weight": gain, "bias": offset, **last.arrays}
    walk.chain = walk.chain.then(replace(last.op, scale=True, shift=True), last.origin, **arrays).called(last.name)


# ------------------------------------------------------------------ activations


@rule("ReLU")
def _relu(walk: CaffeWalk, layer: Layer) -> None:
    """With a slope below zero, a leaky one."""
    slope = rounded(layer.param("relu_param").negative_slope)
    walk.add(ops.LeakyReLU(slope) if slope else ops.ReLU(), layer)


@rule("PReLU")
def _prelu(walk: CaffeWalk, layer: Layer) -> None:
    """One slope a channel unless they share one."""
    op = ops.PReLU(per_channel=not layer.param("prelu_param").channel_shared)
    slope = walk.blobs(layer, slope=op.parameters(walk.chain.output)[0].shape)["slope"]
    walk.add(op, layer, weight=slope)


@rule("ELU")
def _elu(walk: CaffeWalk, layer: Layer) -> None:
    """By its alpha."""
    walk.add(ops.ELU(rounded(layer.param("elu_param").alpha)), layer)


@rule("Sigmoid")
def _sigmoid(walk: CaffeWalk, layer: Layer) -> None:
    """Without a parameter."""
    walk.add(ops.Sigmoid(), layer)


@rule("TanH")
def _tanh(walk: CaffeWalk, layer: Layer) -> None:
    """Without a parameter."""
    walk.add(ops.Tanh(), layer)


@rule("Dropout")
def _dropout(walk: CaffeWalk, layer: Layer) -> None:
    """None at a ratio of 0."""
    share = rounded(layer.param("dropout_param").dropout_ratio)
    if not 0 <= share < 1:
        raise refusal(layer.origin, f"a dropout_ratio of {share}")
    if share:
        walk.add(ops.Dropout(share), layer)


# ------------------------------------------------------------------ the head


def _flat(walk: CaffeWalk, layer: Layer) -> None:
    """Flatten maps; features are flat."""
    if walk.chain.output.is_map:
        walk.add(ops.Flatten(), layer)


@rule("Flatten")
def _flatten(walk: CaffeWalk, layer: Layer) -> None:
    """All axes but the batch's."""
    param = layer.param("flatten_param")
    _plain_axis(layer, param.axis, (1, -3))
    _plain_axis(layer, param.end_axis, (-1, 3))
    _flat(walk, layer)


@rule("Reshape")
def _reshape(walk: CaffeWalk, layer: Layer) -> None:
    """One that flattens."""
    param = layer.param("reshape_param")
    if param.axis or param.num_axes != -1 or list(param.shape.dim) not in ([0, -1], [0, walk.chain.output.size]):
        raise refusal(layer.origin, f"a reshape to {list(param.shape.dim)}, but the language supports only [0, -1]")
    _flat(walk, layer)


@rule("Softmax")
def _softmax(walk: CaffeWalk, layer: Layer) -> None:
    """Over the channels of features, or of maps of one cell."""
    _plain_axis(layer, layer.param("softmax_param").axis)
    if walk.chain.output.is_map and walk.chain.output.shape[1:] != (1, 1):
        raise refusal(layer.origin, "a softmax at each position of a map, but a classifier has one")
    _flat(walk, layer)
    walk.add(ops.Softmax(), layer)
