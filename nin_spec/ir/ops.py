"""The operations of a NiN, one frozen dataclass each, with its shape rule and its parameters.

Ops are types: each interpretation (analysis, torch, ONNX, source) maps op type -> rule. Class names
follow PyTorch's, where it has the layer. Every shape here leaves out the batch axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from nin_spec.ir.layers import BatchNorm as BatchNorm
from nin_spec.ir.layers import Conv2d as Conv2d
from nin_spec.ir.layers import Linear as Linear
from nin_spec.ir.layers import LocalResponseNorm as LocalResponseNorm
from nin_spec.ir.op import Op as Op
from nin_spec.ir.types import Padding, Pair, Parameter, ShapeError, TensorType, end_padding, window_count

# ------------------------------------------------------------------ activations


class Activation(Op):
    """A non-linearity."""


class Pointwise(Activation):
    """An activation of each element by itself, without parameters. `monotone` is true if it nowhere falls."""

    monotone: ClassVar[bool] = False

    def values(self, xp: Any, x: Any) -> Any:
        """The op's definition: its result for an array `x` of the library `xp`, NumPy or one of its functions."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False, eq=False)
class ReLU(Pointwise):
    """max(x, 0)."""

    bounds = (0.0, math.inf)
    monotone = True

    def values(self, xp: Any, x: Any) -> Any:
        return xp.maximum(x, 0)


@dataclass(frozen=True, repr=False, eq=False)
class LeakyReLU(Pointwise):
    """x where positive, `slope` x elsewhere."""

    monotone = True
    slope: float = 0.01

    def values(self, xp: Any, x: Any) -> Any:
        return xp.where(x > 0, x, self.slope * x)


@dataclass(frozen=True, repr=False, eq=False)
class PReLU(Activation):
    """Leaky ReLU with a learned slope: one, or one per channel (He et al. 2015)."""

    per_channel: bool = False
    init: float = 0.25

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        return (Parameter("weight", (x.shape[0] if self.per_channel else 1,), "slope"),)


@dataclass(frozen=True, repr=False, eq=False)
class ELU(Pointwise):
    """x where positive, alpha (exp x - 1) elsewhere."""

    monotone = True
    alpha: float = 1.0

    def values(self, xp: Any, x: Any) -> Any:
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.minimum(x, 0)))


@dataclass(frozen=True, repr=False, eq=False)
class GELU(Pointwise):
    """x times the normal distribution function of x, exact or by the tanh approximation (Hendrycks and Gimpel 2016)."""

    approximate: bool = False

    def values(self, xp: Any, x: Any) -> Any:
        if self.approximate:
            return x / 2 * (1 + xp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return x / 2 * (1 + xp.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


@dataclass(frozen=True, repr=False, eq=False)
class SiLU(Pointwise):
    """x sigmoid(x)."""

    def values(self, xp: Any, x: Any) -> Any:
        return x / (1 + xp.exp(-x))


@dataclass(frozen=True, repr=False, eq=False)
class Hardswish(Pointwise):
    """x relu6(x + 3) / 6, a SiLU in straight lines (Howard et al. 2019)."""

    bounds = (-0.375, math.inf)

    def values(self, xp: Any, x: Any) -> Any:
        return x * xp.clip(x + 3, 0, 6) / 6


@dataclass(frozen=True, repr=False, eq=False)
class Mish(Pointwise):
    """x tanh(softplus x)."""

    def values(self, xp: Any, x: Any) -> Any:
        return x * xp.tanh(xp.logaddexp(0, x))


@dataclass(frozen=True, repr=False, eq=False)
class Sigmoid(Pointwise):
    """1 / (1 + exp -x)."""

    bounds = (0.0, 1.0)
    monotone = True

    def values(self, xp: Any, x: Any) -> Any:
        return 1 / (1 + xp.exp(-x))


@dataclass(frozen=True, repr=False, eq=False)
class Tanh(Pointwise):
    """Hyperbolic tangent."""

    bounds = (-1.0, 1.0)
    monotone = True

    def values(self, xp: Any, x: Any) -> Any:
        return xp.tanh(x)


@dataclass(frozen=True, repr=False, eq=False)
class Maxout(Activation):
    """Maximum over groups of `pieces` neighbouring channels (Goodfellow et al. 2013)."""

    pieces: int

    def infer(self, x: TensorType) -> TensorType:
        c, *rest = x.shape
        if c % self.pieces:
            raise ShapeError(f"{c} channels can't be split into groups of {self.pieces} pieces", "activation")
        return x.with_shape(c // self.pieces, *rest)


# ------------------------------------------------------------------ pools


@dataclass(frozen=True, repr=False, eq=False)
class Pool2d(Op):
    """Base of the pools with windows. In ceil mode a last, partial window counts.

    Each pool sets its `word`, as in PyTorch's `F.max_pool2d`; its `noun` in a sentence; whether its result depends on
    how many cells a window has (`divides`); and whether a window of one cell returns the cell (`keeps`).
    """

    word: ClassVar[str]
    noun: ClassVar[str]
    divides: ClassVar[bool] = True
    keeps: ClassVar[bool] = False

    kernel_size: Pair
    stride: Pair
    padding: Padding = Padding()
    ceil_mode: bool = False

    @property
    def even(self) -> bool:
        """True if both ends are padded equally, by at most half the kernel, as PyTorch's pools require."""
        (kh, kw), p = self.kernel_size, self.padding
        return p.symmetric and p.top <= kh // 2 and p.left <= kw // 2

    @property
    def counts_padding(self) -> bool:
        """True if cells of its padding count in the divisor."""
        return False

    def uncounted(self) -> Self:
        """The pool whose padding does not count."""
        return self

    def whole(self) -> GlobalPool2d | None:
        """The global pool that a single window over all cells amounts to, where the language has it."""
        return next((pool for pool in global_pools() if pool.over is type(self)), None)

    def reduce(self, cells: Any, axes: tuple[int, ...]) -> Any:
        """The op's definition: the result for the cells of a window, which lie along `axes` of an array."""
        raise NotImplementedError

    def counts(self, x: TensorType) -> Pair:
        """Windows along each axis."""
        _, h, w = x.maps()
        (kh, kw), (sh, sw), p = self.kernel_size, self.stride, self.padding
        return (
            window_count(h, kh, sh, p.top, p.bottom, ceil_mode=self.ceil_mode),
            window_count(w, kw, sw, p.left, p.right, ceil_mode=self.ceil_mode),
        )

    def reach(self, x: TensorType) -> Padding:
        """The padding that the windows cover: `padding`, with its ends extended or cut to the last window."""
        _, h, w = x.maps()
        (kh, kw), (sh, sw), p, (oh, ow) = self.kernel_size, self.stride, self.padding, self.counts(x)
        return Padding(p.top, end_padding(h, kh, sh, p.top, oh), p.left, end_padding(w, kw, sw, p.left, ow))

    @property
    def may_overhang(self) -> bool:
        """True if, at some size, a ceil-mode window would start past the input; such a window is not counted."""
        (kh, kw), (sh, sw), p = self.kernel_size, self.stride, self.padding
        return self.ceil_mode and (sh > kh - p.bottom or sw > kw - p.right)

    def infer(self, x: TensorType) -> TensorType:
        c, h, w = x.maps()
        (kh, kw), p = self.kernel_size, self.padding
        if max(p.top, p.bottom) >= kh or max(p.left, p.right) >= kw:
            raise ShapeError(
                f"padding {p} leaves windows of {kh}x{kw} that see no input", "padding", "pad less than the kernel"
            )
        oh, ow = self.counts(x)
        if oh < 1 or ow < 1:
            raise ShapeError(
                f"the {kh}x{kw} window does not fit into {h}x{w}",
                "kernel",
                "use a smaller kernel, or remove a pool or stride before it",
            )
        return x.with_shape(c, oh, ow)

    def window(self, x: TensorType) -> tuple[Pair, Pair]:
        return self.kernel_size, self.stride


@dataclass(frozen=True, repr=False, eq=False)
class MaxPool2d(Pool2d):
    """Maximum over each window; padding never wins."""

    word, noun, divides, keeps = "max", "max pool", False, True

    def reduce(self, cells: Any, axes: tuple[int, ...]) -> Any:
        return cells.max(axes)


@dataclass(frozen=True, repr=False, eq=False)
class AvgPool2d(Pool2d):
    """Average over each window.

    The divisor is the number of real cells under the window; with `count_include_pad`, of real and
    padded cells. Cells past the padding, which a ceil-mode window may overlap, never count.
    """

    word, noun, keeps = "avg", "average", True

    count_include_pad: bool = False

    def reduce(self, cells: Any, axes: tuple[int, ...]) -> Any:
        return cells.mean(axes)

    @property
    def counts_padding(self) -> bool:
        """True with `count_include_pad` and padding to count."""
        return self.count_include_pad and self.padding != Padding()

    def uncounted(self) -> Self:
        """The average of real cells."""
        return replace(self, count_include_pad=False)


WindowPool = MaxPool2d | AvgPool2d
"""Every pool with windows, for `match` statements that mypy holds to be exhaustive."""


@dataclass(frozen=True, repr=False, eq=False)
class GlobalPool2d(Op):
    """Base of the global pools: each map becomes one number, by the pool `over` one window."""

    over: ClassVar[type[Pool2d]]

    def infer(self, x: TensorType) -> TensorType:
        c, _, _ = x.maps()
        return x.with_shape(c, 1, 1)

    def window(self, x: TensorType) -> tuple[Pair, Pair]:
        _, h, w = x.maps()
        return (h, w), (1, 1)

    def windowed(self, x: TensorType) -> Pool2d:
        """The same as a pool with one window."""
        _, h, w = x.maps()
        return self.over((h, w), (1, 1))


@dataclass(frozen=True, repr=False, eq=False)
class AdaptiveAvgPool2d(GlobalPool2d):
    """Global average pooling (Lin et al. 2013, section 3.2)."""

    over = AvgPool2d


@dataclass(frozen=True, repr=False, eq=False)
class AdaptiveMaxPool2d(GlobalPool2d):
    """Global maximum pooling."""

    over = MaxPool2d


# ------------------------------------------------------------------ the rest


@dataclass(frozen=True, repr=False, eq=False)
class Dropout(Op):
    """Zeroes elements with probability `p` in training; the identity at inference."""

    p: float = 0.5


@dataclass(frozen=True, repr=False, eq=False)
class Dropout2d(Op):
    """Zeroes whole channels with probability `p` in training; the identity at inference."""

    p: float = 0.5


@dataclass(frozen=True, repr=False, eq=False)
class ChannelShuffle(Op):
    """View as (groups, C / groups), transpose, flatten (Zhang et al. 2017, ShuffleNet)."""

    groups: int

    def infer(self, x: TensorType) -> TensorType:
        c, _, _ = x.maps()
        if c % self.groups:
            raise ShapeError(f"{c} channels can't be shuffled in {self.groups} groups", "shuffle")
        return x


@dataclass(frozen=True, repr=False, eq=False)
class Flatten(Op):
    """Maps to flat features, in the order channel, row, column."""

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape(x.size)

    def window(self, x: TensorType) -> tuple[Pair, Pair]:
        return (x.shape[1], x.shape[2]) if x.is_map else (1, 1), (1, 1)


@dataclass(frozen=True, repr=False, eq=False)
class Softmax(Op):
    """Scores to probabilities."""

    bounds = (0.0, 1.0)


@dataclass(frozen=True, repr=False, eq=False)
class LogSoftmax(Op):
    """Scores to log-probabilities."""


def all_ops() -> tuple[type[Op], ...]:
    """Every concrete op, for the completeness tests of the rule tables."""
    found = [c for c in globals().values() if isinstance(c, type) and issubclass(c, Op)]
    return tuple(c for c in found if not c.__subclasses__())


def pointwise() -> Iterator[type[Pointwise]]:
    """Every activation of each element by itself."""
    return (kind for kind in all_ops() if issubclass(kind, Pointwise))


def global_pools() -> Iterator[GlobalPool2d]:
    """Every pool of whole maps."""
    return (kind() for kind in all_ops() if issubclass(kind, GlobalPool2d))
