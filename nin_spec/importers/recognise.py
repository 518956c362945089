"""Functions recognised by their values, independent of their spelling.

x * sigmoid(x), 0.5 x (1 + erf(x / sqrt 2)), a reshape with a transpose between: each is run on inputs of many
scales (`regions.py`), and compared with everything that the language has a word for. What it is not is refused, and
so is a function with a constant that acts on none of these inputs. Operators that clip have rules instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from functools import partial
from itertools import chain, product
from typing import get_args

import numpy as np

from nin_spec.importers.chain import refusal
from nin_spec.importers.regions import LARGEST, UNBOUNDED, Array, Function, Region, inputs, plain_input
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, Pair, TensorType

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
_HIGHEST = 1e6
"""The language's limit on the numbers of an activation."""
Hinted = ops.Pool2d | ops.LocalResponseNorm


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
    # Squares of the largest inputs overflow in float32, of the region and of a word.
    with np.errstate(over="ignore", invalid="ignore"):
        return _recognised(region, shape, origin, hinted)


def _recognised(
    region: Region, shape: tuple[int, ...], origin: str, hinted: Sequence[Hinted]
) -> list[ops.Op] | Affine | None:
    """The same, where arithmetic may overflow."""
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
    """Raises ForeignModelError where a constant of a region acts on none of these inputs."""
    idle = region.idle_constant(known)
    if idle is not None:
        why = f"its constant {idle} has no effect on inputs up to {LARGEST:g}, but may have on others"
        raise refusal(origin, why, "remove it from the graph if it is not needed")


def _agree(region: Region, x: Array, y: Array, wanted: Array) -> bool:
    """Whether the region's result for x equals the wanted one, up to rounding."""
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
    """The channels as if their groups were columns of a table, read by rows."""
    return _split(x, groups).swapaxes(1, 2).reshape(x.shape)


def _maxout(pieces: int, x: Array) -> Array:
    """The largest of each group of neighbouring channels."""
    found: Array = _split(x, x.shape[1] // pieces).max(2)
    return found


def _maxout_of_chunks(pieces: int, x: Array) -> Array:
    """The largest of whole chunks of the channels, cell by cell: a maxout once they are shuffled."""
    found: Array = _split(x, pieces).max(1)
    return found


def _flat(pool: Function, x: Array) -> Array:
    """What a pool gives, as features."""
    found: Array = pool(x).reshape(len(x), -1)
    return found


def _global(op: ops.GlobalPool2d, x: Array) -> Array:
    """A global pool's values, (N, C, 1, 1)."""
    found: Array = op.windowed(TensorType(x.shape[1:])).reduce(x, (2, 3))[..., None, None]
    return found


def _pooled() -> Iterator[Word]:
    """The global pools, with their flattening and without."""
    for op in ops.global_pools():
        pool = partial(_global, op)
        yield [op], pool
        yield [op, ops.Flatten()], partial(_flat, pool)


def _activations(function: Function, x: Array) -> Iterator[ops.Pointwise]:
    """Activations, those with a number first asked for it: it is what scales them below zero."""
    below = float(np.asarray(function(np.full_like(x, -1.0))).reshape(-1)[0])
    for kind in ops.pointwise():
        match fields(kind):
            case ():
                yield kind()
            case (Field(name=name, type="bool"),):
                yield from (kind(**{name: value}) for value in (False, True))
            case (Field(name=name, type="float"),):
                number = below / float(activate(kind(**{name: 1.0}), np.full(1, -1.0))[0])
                if 0 < number < _HIGHEST:
                    yield kind(**{name: measured(number)})
            case _:
                raise TypeError(f"{kind.__name__} has attributes that its values at -1 don't tell apart")


def rounded(value: float) -> float:
    """The shortest number with the same float32 value: 0.01 where a file holds 0.0099999998."""
    return float(str(np.float32(value)))


def measured(value: float) -> float:
    """A number that float32 arithmetic gave, without the last bits that it may have got wrong."""
    short = float(f"{value:.6g}")
    return short if abs(short - value) <= 5e-7 * abs(value) else rounded(value)


def activate(op: ops.Op, x: Array) -> Array:
    """The values of an activation or a softmax, in float64."""
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        match op:
            case ops.Softmax():
                found: Array = np.exp(_log_softmax(wide))
            case ops.LogSoftmax():
                found = _log_softmax(wide)
            case ops.Pointwise():
                found = op.values(np, wide)
            case _:
                raise TypeError(f"{type(op).__name__} is not an activation of each element")
    return found


def _log_softmax(x: Array) -> Array:
    """Over the channels, without overflow."""
    shifted: Array = x - x.max(1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found


def _hinted(op: Hinted) -> Word:
    """An op that its region's numbers suggest, and what it computes."""
    match op:
        case ops.LocalResponseNorm():
            return [op], partial(_response_norm, op)
        case ops.Pool2d():
            return [op], partial(_windows, op)


def hinted(
    windows: Sequence[tuple[Pair, Pair]],
    pads: Iterable[Padding],
    sizes: Iterable[int],
    constants: Mapping[str, Array],
    own: Iterable[float] = (),
) -> list[Hinted]:
    """The pools and response norms that a region may be.

    `windows` are (kernel, stride) of its pools, `pads` what it pads, `sizes` are those of pools over channels, and
    `own` the numbers of a pool besides the constants. An average may be a pad, a pool and a division by a pool of ones.
    """
    numbers = [rounded(float(value.reshape(-1)[0])) for value in constants.values() if value.size == 1]
    averages = [ops.AvgPool2d(*window, pad) for window in windows for pad in pads]
    return [*averages, *window_pools(windows, [*own, *numbers]), *response_norms(sizes, numbers)]


def window_pools(windows: Iterable[tuple[Pair, Pair]], numbers: Iterable[float]) -> list[ops.Pool2d]:
    """The pools without padding that a region may be with these windows (kernel, stride), and these numbers in it."""
    found, kinds = list(dict.fromkeys(numbers))[:_NUMBERS_OF_A_NORM], get_args(ops.WindowPool)
    own = {kind: [f.name for f in fields(kind) if f.type == "float"] for kind in kinds}
    return [
        kind(*window, **dict(zip(own[kind], chosen, strict=True)))
        for window in windows
        for kind in kinds
        for chosen in product(found, repeat=len(own[kind]))
    ]


def response_norms(sizes: Iterable[int], numbers: Iterable[float]) -> list[ops.LocalResponseNorm]:
    """The norms that a region may be with pools over `sizes` channels, and with these numbers in it."""
    found = list(dict.fromkeys(n for n in numbers if 0 < n < UNBOUNDED))
    if len(found) > _NUMBERS_OF_A_NORM:
        return []
    return [ops.LocalResponseNorm(size, *three) for size in sizes for three in product(found, repeat=3)]


def _response_norm(op: ops.LocalResponseNorm, x: Array) -> Array:
    """In float64: x / (k + alpha / size * sum of squares over neighbouring channels) ** beta."""
    before, wide = (op.size - 1) // 2, x.astype(np.float64)
    squares = np.pad(wide**2, ((0, 0), (before, op.size - 1 - before), (0, 0), (0, 0)))
    sums = sum(squares[:, k : k + x.shape[1]] for k in range(op.size))
    found: Array = wide / (op.k + op.alpha / op.size * sums) ** op.beta
    return found


def _average(op: ops.AvgPool2d, x: Array) -> Array:
    """An average of maps over the real cells of each window, rounded down."""
    p = op.padding
    sides = ((0, 0), (0, 0), (p.top, p.bottom), (p.left, p.right))
    sums, counts = (_sums(np.pad(v, sides), op) for v in (x, np.ones_like(x)))
    found: Array = sums / np.maximum(counts, 1)
    return found


def _sums(x: Array, op: ops.AvgPool2d) -> Array:
    """The sum of each window."""
    found: Array = _cells(x, op).sum((-2, -1))
    return found


def _windows(op: ops.Pool2d, x: Array) -> Array:
    """A pool of maps, rounded down; nothing where its window does not fit. An average alone may have padding."""
    p = op.padding
    sides = (p.top + p.bottom, p.left + p.right)
    if x.ndim != 4 or any(k > n + s for k, n, s in zip(op.kernel_size, x.shape[2:], sides, strict=True)):
        return np.empty(0)
    if isinstance(op, ops.AvgPool2d):
        return _average(op, x)
    found: Array = op.reduce(_cells(x, op), (-2, -1))
    return found


def _cells(x: Array, op: ops.Pool2d) -> Array:
    """The cells of each window, along two more axes."""
    windows = np.lib.stride_tricks.sliding_window_view(x, op.kernel_size, (2, 3))
    return windows[:, :, :: op.stride[0], :: op.stride[1]]


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
