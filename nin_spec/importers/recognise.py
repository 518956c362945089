"""Functions recognised by what they compute, however they are spelled.

x * sigmoid(x), 0.5 x (1 + erf(x / sqrt 2)), Max(x, 0), a reshape with a transpose between: each is run on
random maps, and compared with everything that the language has a word for. What it is not is refused;
what it seems to be is proved again when the whole network is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.ir import ops

Array = NDArray[Any]
Function = Callable[[Array], Array]
_CLOSE = 1e-5


@dataclass(frozen=True)
class Affine:
    """gain * x + offset, by channel."""

    gain: Array
    offset: Array


def recognise(
    function: Function, shape: tuple[int, ...], averages: Sequence[ops.AvgPool2d] = ()
) -> list[ops.Op] | Affine | None:
    """What a function of maps (1, C, H, W) or features (1, F) is: steps, a change of scale, or None.

    The steps may end in a Flatten, where the function gives features. `averages` are pools that it may be.
    """
    chance = np.random.default_rng(0)
    x = (2 * chance.standard_normal(shape)).astype(np.float32)
    y = np.asarray(function(x))
    pooled: Iterator[tuple[list[ops.Op], Array]] = (([op], average(op, x)) for op in averages)
    for steps, wanted in chain(candidates(function, x, y.shape), pooled):
        if wanted.shape == y.shape and np.allclose(y, wanted, rtol=_CLOSE, atol=_CLOSE):
            return steps
    return _affine(function, x, y)


def candidates(function: Function, x: Array, given: tuple[int, ...]) -> Iterator[tuple[list[ops.Op], Array]]:
    """What the language has, and its results for `x`; the slopes are asked of the function itself."""
    flat = x.reshape(len(x), -1)
    yield [], x
    if given == x.shape:
        for op in _activations(function, x):
            yield [op], activate(op, x)
        for softmax in (ops.Softmax(), ops.LogSoftmax()):
            yield [softmax], activate(softmax, x)
    if x.ndim < 4:
        return
    yield [ops.Flatten()], flat
    yield from _pooled(x)
    channels = x.shape[1]
    for groups in range(2, channels):
        if channels % groups == 0:
            yield [ops.ChannelShuffle(groups)], _split(x, groups).swapaxes(1, 2).reshape(x.shape)
            yield [ops.Maxout(groups)], _split(x, channels // groups).max(2)
    yield [ops.Maxout(channels)], x.max(1, keepdims=True)


def _split(x: Array, groups: int) -> Array:
    """(N, groups, C / groups, H, W)."""
    return x.reshape(len(x), groups, -1, *x.shape[2:])


def _pooled(x: Array) -> Iterator[tuple[list[ops.Op], Array]]:
    pools: tuple[tuple[ops.Op, Array], ...] = (
        (ops.AdaptiveAvgPool2d(), x.mean((2, 3), keepdims=True)),
        (ops.AdaptiveMaxPool2d(), x.max((2, 3), keepdims=True)),
    )
    for op, pooled in pools:
        yield [op], pooled
        yield [op, ops.Flatten()], pooled.reshape(len(x), -1)


def _activations(function: Function, x: Array) -> Iterator[ops.Op]:
    """Activations, those with a number first asked for it."""
    yield from (ops.ReLU(), ops.SiLU(), ops.Mish(), ops.Sigmoid(), ops.Tanh(), ops.GELU(), ops.GELU(approximate=True))
    below = float(np.asarray(function(np.full_like(x, -1.0))).reshape(-1)[0])
    if 0 < -below < 1e6:
        yield ops.LeakyReLU(rounded(-below))
        yield ops.ELU(rounded(below / float(np.expm1(-1.0))))


def rounded(value: float) -> float:
    """The shortest number that 32 bits can't tell from this one: 0.01 where a file holds 0.0099999998."""
    return float(str(np.float32(value)))


_FORMULAS: dict[type[ops.Op], Callable[[Array, Any], Array]] = {
    ops.ReLU: lambda x, _: np.maximum(x, 0),
    ops.LeakyReLU: lambda x, op: np.where(x > 0, x, op.slope * x),
    ops.ELU: lambda x, op: np.where(x > 0, x, op.alpha * np.expm1(np.minimum(x, 0))),
    ops.SiLU: lambda x, _: x / (1 + np.exp(-x)),
    ops.Sigmoid: lambda x, _: 1 / (1 + np.exp(-x)),
    ops.Tanh: lambda x, _: np.tanh(x),
    ops.Mish: lambda x, _: x * np.tanh(np.logaddexp(0, x)),
    ops.GELU: lambda x, op: x * _normal_share(x, approximate=op.approximate),
    ops.Softmax: lambda x, _: np.exp(_log_softmax(x)),
    ops.LogSoftmax: lambda x, _: _log_softmax(x),
}
"""What each op computes, by the definitions in nin_spec.ir.ops."""


def activate(op: ops.Op, x: Array) -> Array:
    """An activation's values."""
    return _FORMULAS[type(op)](x, op)


def _log_softmax(x: Array) -> Array:
    shifted: Array = x - x.max(1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found


def _normal_share(x: Array, *, approximate: bool) -> Array:
    """The normal distribution function, or the tanh formula for it."""
    if approximate:
        twice: Array = 1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    else:
        twice = 1 + np.vectorize(math.erf, otypes=[np.float64])(x / np.sqrt(2))
    return twice / 2


def average(op: ops.AvgPool2d, x: Array) -> Array:
    """An average of maps over the real cells of each window, rounded down."""
    p = op.padding
    sides = ((0, 0), (0, 0), (p.top, p.bottom), (p.left, p.right))
    sums, counts = (_sums(np.pad(v, sides), op) for v in (x, np.ones_like(x)))
    found: Array = sums / np.maximum(counts, 1)
    return found


def _sums(x: Array, op: ops.AvgPool2d) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, op.kernel_size, (2, 3))
    found: Array = windows[:, :, :: op.stride[0], :: op.stride[1]].sum((-2, -1))
    return found


def _affine(function: Function, x: Array, y: Array) -> Affine | None:
    """The change of scale by channel that a function is, if it is one."""
    if y.shape != x.shape:
        return None
    zero, one = (np.asarray(function(np.full_like(x, v)), np.float64) for v in (0.0, 1.0))
    around = tuple(axis for axis in range(x.ndim) if axis != 1)
    gain, offset = (v.mean(around) for v in (one - zero, zero))
    column = (1, -1, *[1] * (x.ndim - 2))
    wanted = gain.reshape(column) * x + offset.reshape(column)
    scale = max(float(np.abs(y).max()), 1.0)
    return Affine(gain, offset) if np.allclose(y, wanted, rtol=1e-4, atol=1e-5 * scale) else None
