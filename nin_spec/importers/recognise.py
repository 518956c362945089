"""Functions recognised by what they compute, however they are spelled.

x * sigmoid(x), 0.5 x (1 + erf(x / sqrt 2)), a reshape with a transpose between: each is run on inputs of many
scales (`regions.py`), and compared with everything that the language has a word for. What it is not is refused, and
so is a function with a constant that acts on none of these inputs. Operators that clip have rules instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from typing import Any

import numpy as np

from nin_spec.importers.chain import refusal
from nin_spec.importers.regions import LARGEST, UNBOUNDED, Array, Function, Region, inputs, plain_input
from nin_spec.ir import ops

_NUMBERS_OF_A_NORM = 6
"""A response norm has three: alpha, beta and k."""
_ENOUGH = 16
"""Cells along an axis that show all of a pointwise function."""

_RTOL, _ATOL, _FLOOR = 1e-5, 1e-6, 3e-7
"""Differences of rounding alone: relative, relative to the largest value, and of 1 - 1 in float32."""
_OVERFLOW = 80.0
"""Beyond this float32's exp overflows, and a function that is written with it may be NaN where a word is not."""
Word = tuple[list[ops.Op], Function]
"""Steps of the language, and what they compute."""
Hinted = ops.AvgPool2d | ops.LocalResponseNorm


@dataclass(frozen=True)
class Affine:
    """gain * x + offset, by channel."""

    gain: Array
    offset: Array


def recognise(
    region: Region, shape: tuple[int, ...], origin: str, hinted: Sequence[Hinted] = ()
) -> list[ops.Op] | Affine | None:
    """What a function of maps (1, C, H, W) or features (1, F) is: steps, a change of scale, or None.

    The steps may end in a Flatten, where the function gives features. `hinted` are ops that it may be, by
    the windows and the numbers in it.
    Raises ForeignModelError, at `origin`, for a function that agrees with a word and reads a constant to no effect:
    it may have one on inputs that were not tried.
    """
    if region.pointwise and len(shape) == 4:
        shape = (*shape[:2], min(shape[2], _ENOUGH), min(shape[3], _ENOUGH))
    x = plain_input(shape)
    y = region(x)
    for steps, word in chain(words(region, x, y.shape), map(_hinted, hinted)):
        if _agree(region, x, y, word(x)):
            others = inputs(shape, region.constants, few=not region.pointwise)[1:]
            known = [(x, y), *((other, region(other)) for other in others)]
            if all(_agree(region, *pair, word(pair[0])) for pair in known):
                _require_all_act(region, known, origin)
                return steps
    return _affine(region, shape, origin)


def _require_all_act(region: Region, known: list[tuple[Array, Array]], origin: str) -> None:
    idle = region.idle_constant(known)
    if idle is not None:
        why = f"its constant {idle} changes nothing on inputs up to {LARGEST:g}, but may on others"
        raise refusal(origin, why, "remove it from the graph if it has no use")


def _agree(region: Region, x: Array, y: Array, wanted: Array) -> bool:
    """Whether what the region gives for x is what is wanted, but for rounding."""
    if wanted.shape != y.shape:
        return False
    known = np.isfinite(y)
    if not known.all() and np.abs(x).max(initial=0.0) <= _OVERFLOW:
        return False
    with np.errstate(invalid="ignore"):
        apart = np.abs(y.astype(np.float64) - wanted)
    # x times a function that was rounded near 1 is off by as much of x.
    slack = _FLOOR * (1 + np.abs(x)) if region.pointwise else _FLOOR + _ATOL * np.abs(wanted).max(initial=0.0)
    return bool((apart <= _RTOL * np.abs(wanted) + slack)[known].all())


def words(function: Function, x: Array, given: tuple[int, ...]) -> Iterator[Word]:
    """What the language has for a function that gives `given` for x; the slopes are asked of the function itself."""
    yield [], lambda x: x
    if given == x.shape:
        for op in (*_activations(function, x), ops.Softmax(), ops.LogSoftmax()):
            yield [op], partial(activate, op)
    if x.ndim == 4:
        yield [ops.Flatten()], lambda x: x.reshape(len(x), -1)
        yield from _pooled()
    channels = x.shape[1]
    for groups in range(2, channels):
        if channels % groups == 0:
            if x.ndim == 4:
                yield [ops.ChannelShuffle(groups)], partial(_shuffle, groups)
                yield [ops.ChannelShuffle(groups), ops.Maxout(groups)], partial(_maxout_of_chunks, groups)
            yield [ops.Maxout(groups)], partial(_maxout, groups)
    yield [ops.Maxout(channels)], lambda x: x.max(1, keepdims=True)


def _split(x: Array, groups: int) -> Array:
    """(N, groups, C / groups, H, W)."""
    return x.reshape(len(x), groups, -1, *x.shape[2:])


def _shuffle(groups: int, x: Array) -> Array:
    return _split(x, groups).swapaxes(1, 2).reshape(x.shape)


def _maxout(pieces: int, x: Array) -> Array:
    found: Array = _split(x, x.shape[1] // pieces).max(2)
    return found


def _maxout_of_chunks(pieces: int, x: Array) -> Array:
    """The largest of whole chunks of the channels, cell by cell: a maxout once they are shuffled."""
    found: Array = _split(x, pieces).max(1)
    return found


def _flat(pool: Function, x: Array) -> Array:
    found: Array = pool(x).reshape(len(x), -1)
    return found


def _pooled() -> Iterator[Word]:
    pools: tuple[tuple[ops.Op, Function], ...] = (
        (ops.AdaptiveAvgPool2d(), lambda x: x.mean((2, 3), keepdims=True)),
        (ops.AdaptiveMaxPool2d(), lambda x: x.max((2, 3), keepdims=True)),
    )
    for op, pool in pools:
        yield [op], pool
        yield [op, ops.Flatten()], partial(_flat, pool)


def _activations(function: Function, x: Array) -> Iterator[ops.Op]:
    """Activations, those with a number first asked for it."""
    yield from (ops.ReLU(), ops.SiLU(), ops.Mish(), ops.Sigmoid(), ops.Tanh(), ops.GELU(), ops.GELU(approximate=True))
    below = float(np.asarray(function(np.full_like(x, -1.0))).reshape(-1)[0])
    if 0 < -below < 1e6:
        yield ops.LeakyReLU(measured(-below))
        yield ops.ELU(measured(below / float(np.expm1(-1.0))))


def rounded(value: float) -> float:
    """The shortest number that 32 bits can't tell from this one: 0.01 where a file holds 0.0099999998."""
    return float(str(np.float32(value)))


def measured(value: float) -> float:
    """A number that float32 arithmetic gave, without the last bits that it may have got wrong."""
    short = float(f"{value:.6g}")
    return short if abs(short - value) <= 5e-7 * abs(value) else rounded(value)


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
    """An activation's values, in float64."""
    with np.errstate(over="ignore"):
        return _FORMULAS[type(op)](x.astype(np.float64), op)


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


def _hinted(op: Hinted) -> Word:
    match op:
        case ops.AvgPool2d():
            return [op], partial(average, op)
        case ops.LocalResponseNorm():
            return [op], partial(_response_norm, op)


def response_norms(sizes: Iterable[int], numbers: Iterable[float]) -> list[ops.LocalResponseNorm]:
    """The norms that a region may be with pools over `sizes` channels, and with these numbers in it."""
    found = list(dict.fromkeys(n for n in numbers if 0 < n < UNBOUNDED))
    if len(found) > _NUMBERS_OF_A_NORM:
        return []
    return [ops.LocalResponseNorm(size, *three) for size in sizes for three in product(found, repeat=3)]


def _response_norm(op: ops.LocalResponseNorm, x: Array) -> Array:
    before, wide = (op.size - 1) // 2, x.astype(np.float64)
    squares = np.pad(wide**2, ((0, 0), (before, op.size - 1 - before), (0, 0), (0, 0)))
    sums = sum(squares[:, k : k + x.shape[1]] for k in range(op.size))
    found: Array = wide / (op.k + op.alpha / op.size * sums) ** op.beta
    return found


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


def _affine(region: Region, shape: tuple[int, ...], origin: str) -> Affine | None:
    """The change of scale by channel that a function is, if it is one."""
    zero, one = (np.asarray(region(np.full(shape, v, np.float32)), np.float64) for v in (0.0, 1.0))
    if zero.shape != shape:
        return None
    around = tuple(axis for axis in range(len(shape)) if axis != 1)
    gain, offset = (v.mean(around) for v in (one - zero, zero))
    column = (1, -1, *[1] * (len(shape) - 2))
    known: list[tuple[Array, Array]] = []
    for x in inputs(shape, region.constants, few=not region.pointwise):
        known.append((x, region(x)))
        if not _agree(region, *known[-1], gain.reshape(column) * x + offset.reshape(column)):
            return None
    _require_all_act(region, known, origin)
    return Affine(gain, offset)
