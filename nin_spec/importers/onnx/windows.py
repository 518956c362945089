"""How ONNX operators with windows are read: convolutions, pools, and the padding before them.

ONNX's padding is [top, left, bottom, right].
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec.diagnostics import counted
from nin_spec.importers.chain import Array, refusal
from nin_spec.importers.decompiler.names import words_of
from nin_spec.importers.onnx.evaluate import attributes, label
from nin_spec.importers.onnx.rulebook import constant, done, needed, on_maps, rule
from nin_spec.importers.onnx.walk import Walk
from nin_spec.importers.padding import REFUSED, Pending, fill_of
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, Pair

if TYPE_CHECKING:
    from onnx import NodeProto


def _pair(node: NodeProto, key: str) -> Pair:
    """An attribute of two numbers, one for each axis of a picture; 1 for either where the node leaves it out."""
    found = tuple(attributes(node).get(key, (1, 1)))
    if len(found) != 2:
        raise refusal(label(node), f"its attribute {key} has {counted(len(found), 'number')}; pictures have two axes")
    if min(found) < 1:
        raise refusal(label(node), f"its {key} is {found[0]}, {found[1]}; the minimum is 1")
    return found[0], found[1]


def _padding(walk: Walk, node: NodeProto, given: dict[str, Any], extent: Pair, stride: Pair) -> Padding:
    """The node's padding, with `auto_pad` resolved for the current size, and that of a Pad before it."""
    auto = given.get("auto_pad", "NOTSET")
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        sides = [_same(n, k, s, auto) for n, k, s in zip(walk.chain.output.shape[1:], extent, stride, strict=True)]
        own = Padding(sides[0][0], sides[0][1], sides[1][0], sides[1][1])
        if walk.chain.open_size and stride != (1, 1):
            raise refusal(label(node), f"auto_pad {auto} with a stride depends on the size, which is open")
    else:
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
        own = Padding(top, bottom, left, right)
    if min(own) < 0:
        raise refusal(label(node), "negative padding, which removes cells")
    return own


def _zeros(walk: Walk) -> Padding | None:
    """The zeros that a Pad before this window adds."""
    found, walk.pad = walk.pad, None
    return None if found is None else found.zeros()


def _same(size: int, extent: int, stride: int, auto: str) -> tuple[int, int]:
    """The padding before and after along an axis by which ceil(size / stride) windows fit."""
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    less = total // 2
    return (less, total - less) if auto == "SAME_UPPER" else (total - less, less)


@rule("Conv")
def _conv(walk: Walk, node: NodeProto) -> bool:
    """With the zeros of a Pad before it, under the name of its weights."""
    on_maps(walk, node)
    given, weight, bias = attributes(node), needed(walk, node, 1), constant(walk, node, 2)
    if weight.ndim != 4:
        raise refusal(label(node), f"its weights have {weight.ndim} axes, but must have 4")
    stride, dilation = _pair(node, "strides"), _pair(node, "dilations")
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    plain = ops.Conv2d(weight.shape[0], kernel, stride, Padding(), dilation, given.get("group", 1), bias is not None)
    own = _padding(walk, node, given, plain.extent, stride)
    before = _zeros(walk) or Padding()
    op = replace(plain, padding=Padding(*(a + b for a, b in zip(own, before, strict=True))))
    # Tools that fold batch norm give the tensor a number for a name, and leave the node its own.
    name = node.input[1] if words_of(node.input[1]) else node.name
    walk.add(op, label(node), weight=weight, **({} if bias is None else {"bias": bias}))
    walk.chain = walk.chain.called(name)
    return done(walk, node)


@rule("MaxPool")
def _max_pool(walk: Walk, node: NodeProto) -> bool:
    """With the padding of a Pad before it, as far as that never wins."""
    on_maps(walk, node)
    given = attributes(node)
    kernel, stride = window_of(node)
    own, before = _padding(walk, node, given, kernel, stride), walk.pad
    walk.pad = None
    op = ops.MaxPool2d(kernel, stride, own, bool(given.get("ceil_mode")))
    walk.add(op if before is None else before.of_maximum(op, walk.chain.output, walk.last), label(node))
    return done(walk, node)


@rule("AveragePool")
def _avg_pool(walk: Walk, node: NodeProto) -> bool:
    """With the zeros of a Pad before it, which count."""
    on_maps(walk, node)
    given = attributes(node)
    kernel, stride = window_of(node)
    own = _padding(walk, node, given, kernel, stride)
    counted, ceil, pad = bool(given.get("count_include_pad")), bool(given.get("ceil_mode")), walk.pad
    before = _zeros(walk)
    if pad is not None and own != Padding() and not counted:
        raise refusal(pad.origin, "an average that counts only some of its padding")
    both = Padding(*(a + b for a, b in zip(own, before or Padding(), strict=True)))
    walk.add(
        ops.AvgPool2d(kernel, stride, both, ceil, (counted or before is not None) and both != Padding()), label(node)
    )
    return done(walk, node)


@rule("Pad")
def _pad(walk: Walk, node: NodeProto) -> bool:
    """None for no padding; else it waits for the window behind it."""
    given, sides = attributes(node), sides_of(walk, node)
    value = given.get("value", 0.0) if "pads" in given else constant(walk, node, 2)
    rows, columns = (1, 2) if walk.channels_last else (2, 3)
    if not any(any(pair) for pair in sides):
        return done(walk, node)
    outside = any(any(pair) for axis, pair in enumerate(sides) if axis not in {rows, columns})
    number = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
    fill = fill_of(given.get("mode", "constant"), number)
    if fill is None or outside or min(map(min, sides)) < 0 or walk.pad is not None:
        raise refusal(label(node), REFUSED)
    walk.pad = Pending(Padding(*sides[rows], *sides[columns]), fill, label(node))
    return done(walk, node)


def sides_of(walk: Walk, node: NodeProto) -> list[tuple[int, int]]:
    """What a Pad adds (before, after) each axis of maps."""
    given = attributes(node)
    pads = given["pads"] if "pads" in given else needed(walk, node, 1)
    return _by_axis([int(p) for p in np.asarray(pads).reshape(-1)], constant(walk, node, 3), len(walk.shape))


def window_of(node: NodeProto) -> tuple[Pair, Pair]:
    """Kernel and stride of a pool."""
    if _pair(node, "dilations") != (1, 1):
        raise refusal(label(node), "a dilated pool")
    return _pair(node, "kernel_shape"), _pair(node, "strides")


def _by_axis(pads: list[int], axes: Array | None, rank: int) -> list[tuple[int, int]]:
    """(before, after) of each axis."""
    named = range(rank) if axes is None else [int(a) % rank for a in axes.reshape(-1)]
    half = len(pads) // 2
    sides = [(0, 0)] * rank
    for k, axis in enumerate(named):
        sides[axis] = (pads[k], pads[half + k])
    return sides


@rule("GlobalAveragePool")
def _global_average(walk: Walk, node: NodeProto) -> bool:
    """The average of each map."""
    on_maps(walk, node)
    walk.add(ops.AdaptiveAvgPool2d(), label(node))
    return done(walk, node)


@rule("GlobalMaxPool")
def _global_max(walk: Walk, node: NodeProto) -> bool:
    """The largest value of each map."""
    on_maps(walk, node)
    walk.add(ops.AdaptiveMaxPool2d(), label(node))
    return done(walk, node)
