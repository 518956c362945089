"""How each ATen operator is read: one rule per operator, found by its name.

A rule gives the op that the operator is, or None where it leaves no step behind or is not of the kind that it knows:
then what it computes decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from nin_spec.importers.chain import refusal
from nin_spec.importers.clipping import clip
from nin_spec.importers.padding import REFUSED, Pending, fill_of
from nin_spec.importers.torch.regions import label_of, pair_of
from nin_spec.importers.torch.walk import Call, Rule, TorchWalk
from nin_spec.ir import ops
from nin_spec.ir.types import Padding


def _sides(walk: TorchWalk, value: Any) -> Padding:
    """An operator's own padding, and that of a pad before it."""
    vertical, horizontal = pair_of(value)
    pending, walk.pad = walk.pad, None
    before = Padding() if pending is None else pending.zeros()
    own = (vertical, vertical, horizontal, horizontal)
    return Padding(*(a + b for a, b in zip(own, before, strict=True)))


def _conv(call: Call) -> ops.Op:
    """With padding in numbers or by a word, and the zeros of a pad before it."""
    kernel, stride, dilation = (
        tuple(call.given["weight"].meta["val"].shape[2:]),
        pair_of(call.given["stride"]),
        pair_of(call.given["dilation"]),
    )
    channels, bias = call.given["weight"].meta["val"].shape[0], isinstance(call.given["bias"], fx.Node)
    plain = ops.Conv2d(channels, (kernel[0], kernel[1]), stride, Padding(), dilation, call.given["groups"], bias)
    if call.given["padding"] == "same":
        ends = (
            [(extent - 1) // 2 for extent in plain.extent],
            [extent - 1 - (extent - 1) // 2 for extent in plain.extent],
        )
        before = _sides(call.walk, 0)
        own = Padding(ends[0][0], ends[1][0], ends[0][1], ends[1][1])
        own = Padding(*(a + b for a, b in zip(own, before, strict=True)))
    else:
        own = _sides(call.walk, 0 if call.given["padding"] == "valid" else call.given["padding"])
    return ops.Conv2d(channels, plain.kernel_size, stride, own, dilation, plain.groups, bias)


def _max_pool(call: Call) -> ops.Op:
    """With the padding of a pad before it, as far as that never wins."""
    if pair_of(call.given["dilation"]) != (1, 1):
        raise refusal(label_of(call.node), "a dilated pool")
    kernel, (vertical, horizontal) = pair_of(call.given["kernel_size"]), pair_of(call.given["padding"])
    own = Padding(vertical, vertical, horizontal, horizontal)
    op = ops.MaxPool2d(kernel, pair_of(call.given["stride"], kernel), own, bool(call.given["ceil_mode"]))
    chain, pending, call.walk.pad = call.walk.chain, call.walk.pad, None
    return op if pending is None else pending.of_maximum(op, chain.output, chain.steps[-1] if chain.steps else None)


def _avg_pool(call: Call) -> ops.Op:
    """With the zeros of a pad before it, which count."""
    if call.given.get("divisor_override") is not None:
        raise refusal(label_of(call.node), "an average with a separate divisor")
    kernel, before = pair_of(call.given["kernel_size"]), call.walk.pad
    counted = bool(call.given["count_include_pad"]) or before is not None
    if before is not None and pair_of(call.given["padding"]) != (0, 0) and not call.given["count_include_pad"]:
        raise refusal(before.origin, "an average that counts only some of its padding")
    own = _sides(call.walk, call.given["padding"])
    return ops.AvgPool2d(
        kernel, pair_of(call.given["stride"], kernel), own, bool(call.given["ceil_mode"]), counted and own != Padding()
    )


def _adaptive(pool: ops.GlobalPool2d) -> Rule:
    """A pool to so many cells: global for one, else with windows where the cells divide the maps."""

    def rule(call: Call) -> ops.Op | None:
        shape, cells = call.walk.chain.output.shape, pair_of(call.given["output_size"])
        if len(shape) != 3 or any(n % m for n, m in zip(shape[1:], cells, strict=True)):
            return None
        if cells == (1, 1):
            return pool
        window = (shape[1] // cells[0], shape[2] // cells[1])
        if window == (1, 1):
            return None
        return pool.over(window, window)

    return rule


def _reduced(pool: ops.GlobalPool2d) -> Rule:
    """A mean or a maximum over height and width, flattened unless it keeps the axes."""

    def rule(call: Call) -> ops.Op | None:
        axes = call.given["dim"]
        if axes is None or len(call.walk.chain.output.shape) != 3 or {int(a) % 4 for a in axes} != {2, 3}:
            return None
        call.walk.add(pool, call.node, call.given)
        return None if call.given["keepdim"] else ops.Flatten()

    return rule


def _reshape(call: Call) -> ops.Op | None:
    """A flattening of maps; others are regions."""
    shape = tuple(call.node.meta["val"].shape)
    return (
        ops.Flatten()
        if len(shape) == 2 and call.walk.chain.output.is_map and shape[1] == call.walk.chain.output.size
        else None
    )


def _linear(call: Call) -> ops.Op:
    """A dense layer."""
    return ops.Linear(call.given["weight"].meta["val"].shape[0], isinstance(call.given["bias"], fx.Node))


def _product(call: Call) -> ops.Op | None:
    """Features times a weight of (in, out), and a bias where one is added: a dense layer without its transpose."""
    weight, bias = call.given.get("other", call.given.get("mat2")), call.given["self"] if "mat1" in call.given else None
    plain = (call.given.get("alpha", 1), call.given.get("beta", 1)) == (1, 1)
    if call.walk.chain.output.is_map or not isinstance(weight, fx.Node) or weight.meta["val"].dim() != 2 or not plain:
        return None
    units = weight.meta["val"].shape[1]
    arrays = {"weight": call.walk.array(weight, call.node).T}
    if bias is not None:
        arrays["bias"] = np.broadcast_to(call.walk.array(bias, call.node), (units,))
    call.walk.then(ops.Linear(units, bias is not None), call.node, call.given, arrays)
    return None


def _batch_norm(call: Call) -> ops.Op:
    """One that uses its running statistics."""
    if call.given["training"]:
        raise refusal(label_of(call.node), "a batch norm in training mode", "export the network after net.eval()")
    if not isinstance(call.given["running_mean"], fx.Node):
        raise refusal(label_of(call.node), "a batch norm without running statistics")
    scale, shift = (isinstance(call.given[key], fx.Node) for key in ("weight", "bias"))
    # A cumulative average (momentum=None) comes as 0, with which a norm would never learn.
    return ops.BatchNorm(call.given["eps"], call.given["momentum"] or ops.BatchNorm().momentum, scale, shift)


def _prelu(call: Call) -> ops.Op:
    """With one slope, or one per channel."""
    return ops.PReLU(per_channel=call.given["weight"].meta["val"].numel() > 1)


def _dropout(kind: type[ops.Op]) -> Rule:
    """By its p, none at 0; never in training mode."""

    def rule(call: Call) -> ops.Op | None:
        if call.given["train"]:
            raise refusal(label_of(call.node), "a dropout in training mode", "export the network after net.eval()")
        return kind(call.given["p"]) if 0 < call.given["p"] < 1 else None  # type: ignore[call-arg]

    return rule


def _softmax(kind: type[ops.Op]) -> Rule:
    """Over the classes."""
    return lambda call: kind() if call.given["dim"] % (len(call.walk.chain.output.shape) + 1) == 1 else None


def _pad(call: Call) -> ops.Op | None:
    """It waits for the window behind it."""
    left, right, top, bottom = (*call.given["pad"], 0, 0, 0, 0)[:4]
    number = float(call.given.get("value") or 0)
    fill = fill_of(call.given.get("mode", "constant"), number)
    if fill is None or min(left, right, top, bottom) < 0 or len(call.given["pad"]) > 4 or call.walk.pad is not None:
        raise refusal(label_of(call.node), REFUSED)
    call.walk.pad = Pending(Padding(top, bottom, left, right), fill, label_of(call.node))
    return None


def _plain(op: ops.Op) -> Rule:
    """An op without attributes."""
    return lambda _: op


def _clip(low: str | float | None, high: str | float | None) -> Rule:
    """Values between two ends, each an argument, a number or open."""

    def rule(call: Call) -> ops.Op | None:
        lowest, highest = (call.given[end] if isinstance(end, str) else end for end in (low, high))
        if any(isinstance(end, fx.Node) for end in (lowest, highest)):
            return None
        return clip(lowest, highest, label_of(call.node))

    return rule


def _threshold(call: Call) -> ops.Op:
    """ReLU alone."""
    if (call.given["threshold"], call.given["value"]) != (0, 0):
        raise refusal(label_of(call.node), "a threshold other than 0, which the language does not support")
    return ops.ReLU()


def _elu(call: Call) -> ops.Op | None:
    """By its alpha; a scale makes another function."""
    return ops.ELU(float(call.given["alpha"])) if (call.given["scale"], call.given["input_scale"]) == (1, 1) else None


RULES: dict[str, Rule] = {
    "aten.conv2d": _conv,
    "aten.linear": _linear,
    **dict.fromkeys(("aten.matmul", "aten.mm", "aten.addmm"), _product),
    "aten.batch_norm": _batch_norm,
    "aten.prelu": _prelu,
    "aten.max_pool2d": _max_pool,
    "aten.max_pool2d_with_indices": _max_pool,
    "aten.avg_pool2d": _avg_pool,
    "aten.adaptive_avg_pool2d": _adaptive(ops.AdaptiveAvgPool2d()),
    "aten.adaptive_max_pool2d": _adaptive(ops.AdaptiveMaxPool2d()),
    "aten.mean": _reduced(ops.AdaptiveAvgPool2d()),
    "aten.amax": _reduced(ops.AdaptiveMaxPool2d()),
    "aten.flatten": _reshape,
    "aten.view": _reshape,
    "aten.reshape": _reshape,
    "aten.squeeze": _reshape,
    "aten.relu": _plain(ops.ReLU()),
    "aten.relu6": _clip(0, 6),
    "aten.hardtanh": _clip("min_val", "max_val"),
    "aten.clamp": _clip("min", "max"),
    "aten.clamp_min": _clip("min", None),
    "aten.clamp_max": _clip(None, "max"),
    "aten.threshold": _threshold,
    "aten.sigmoid": _plain(ops.Sigmoid()),
    "aten.tanh": _plain(ops.Tanh()),
    "aten.silu": _plain(ops.SiLU()),
    "aten.mish": _plain(ops.Mish()),
    "aten.leaky_relu": lambda call: ops.LeakyReLU(float(call.given["negative_slope"])),
    "aten.elu": _elu,
    "aten.gelu": lambda call: ops.GELU(call.given["approximate"] == "tanh"),
    "aten.dropout": _dropout(ops.Dropout),
    "aten.feature_dropout": _dropout(ops.Dropout2d),
    "aten.softmax": _softmax(ops.Softmax),
    "aten.log_softmax": _softmax(ops.LogSoftmax),
    "aten.channel_shuffle": lambda call: ops.ChannelShuffle(call.given["groups"]),
    "aten.pad": _pad,
    "aten.constant_pad_nd": _pad,
    "aten.clone": lambda _: None,
    "aten.contiguous": lambda _: None,
    "aten.alias": lambda _: None,
    "aten.detach": lambda _: None,
}
