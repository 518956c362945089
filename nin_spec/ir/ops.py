"""The operations of a NiN, one frozen dataclass each, with its shape rule and its parameters.

Ops are types: each interpretation (analysis, torch, ONNX, source) maps op type -> rule. Class names
follow PyTorch's, where it has the layer. Every shape here leaves out the batch axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nin_spec.ir.types import Padding, Pair, Parameter, ShapeError, TensorType, end_padding, window_count


@dataclass(frozen=True, repr=False, eq=False)
class Op:
    """One operation; by default it keeps the shape and owns no parameters."""

    # Written once here: generating them for each op would slow the start of every command.
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        attributes = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({attributes})"

    def infer(self, x: TensorType) -> TensorType:
        """The output type for input type `x`. Raises ShapeError if the op can't take it."""
        return x

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        """The tensors the op owns, in the order weight, bias, running_mean, running_var."""
        return ()

    def macs(self, x: TensorType) -> int:
        """Multiply-accumulates for one image: convolutions and dense layers only, bias not counted."""
        return 0

    def window(self, x: TensorType) -> tuple[Pair, Pair]:
        """(extent, stride) in input cells that one output cell sees, for the receptive field."""
        return (1, 1), (1, 1)


# ------------------------------------------------------------------ with weights


@dataclass(frozen=True, repr=False, eq=False)
class Conv2d(Op):
    """2-d cross-correlation with zero padding; weight (out, in / groups, kh, kw)."""

    out_channels: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Padding = Padding()
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True

    @property
    def extent(self) -> Pair:
        """Cells from the first to the last tap of the dilated kernel."""
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1

    def infer(self, x: TensorType) -> TensorType:
        c, h, w = x.maps()
        for what, n in (("input", c), ("output", self.out_channels)):
            if n % self.groups:
                raise ShapeError(f"{n} {what} channels can't be split into {self.groups} groups", "groups")
        (eh, ew), (sh, sw), p = self.extent, self.stride, self.padding
        oh = window_count(h, eh, sh, p.top, p.bottom)
        ow = window_count(w, ew, sw, p.left, p.right)
        if oh < 1 or ow < 1:
            padded = f"{h + p.top + p.bottom}x{w + p.left + p.right}"
            raise ShapeError(
                f"the kernel covers {eh}x{ew} cells and does not fit into {h}x{w} ({padded} with padding)",
                "kernel",
                "use a smaller kernel, more padding, or a smaller stride before it",
            )
        return x.with_shape(self.out_channels, oh, ow)

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        shape = (self.out_channels, x.shape[0] // self.groups, *self.kernel_size)
        return _weight_and_bias(shape, bias=self.bias)

    def macs(self, x: TensorType) -> int:
        return self.infer(x).size * x.shape[0] // self.groups * math.prod(self.kernel_size)

    def window(self, x: TensorType) -> tuple[Pair, Pair]:
        return self.extent, self.stride


@dataclass(frozen=True, repr=False, eq=False)
class Linear(Op):
    """Dense layer over flat features; weight (out, in)."""

    out_features: int
    bias: bool = True

    def infer(self, x: TensorType) -> TensorType:
        if x.is_map:
            raise ShapeError(f"a dense layer needs flat features, but its input is maps {x.shape}")
        return x.with_shape(self.out_features)

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        return _weight_and_bias((self.out_features, x.shape[0]), bias=self.bias)

    def macs(self, x: TensorType) -> int:
        return self.out_features * x.shape[0]


def _weight_and_bias(shape: tuple[int, ...], *, bias: bool) -> tuple[Parameter, ...]:
    fan_in = math.prod(shape[1:])
    weight = Parameter("weight", shape, "weight", fan_in)
    return (weight, Parameter("bias", shape[:1], "bias", fan_in)) if bias else (weight,)


# ------------------------------------------------------------------ norms


@dataclass(frozen=True, repr=False, eq=False)
class BatchNorm(Op):
    """Batch normalisation by channel, on maps or flat features (Ioffe and Szegedy 2015).

    `scale` and `shift` say whether the affine part has a learned gain and offset; `momentum` is the
    weight of the new batch in the running statistics, as in PyTorch.
    """

    eps: float = 1e-5
    momentum: float = 0.1
    scale: bool = True
    shift: bool = True

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        shape = x.shape[:1]
        scale = (Parameter("weight", shape, "scale"),) if self.scale else ()
        shift = (Parameter("bias", shape, "shift"),) if self.shift else ()
        mean = Parameter("running_mean", shape, "mean", trainable=False)
        return (*scale, *shift, mean, Parameter("running_var", shape, "var", trainable=False))


@dataclass(frozen=True, repr=False, eq=False)
class LocalResponseNorm(Op):
    """x / (k + alpha / size * sum of squares over `size` neighbouring channels) ** beta.

    Alpha is divided by the size, as in Krizhevsky's networks, Caffe, PyTorch and ONNX.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def infer(self, x: TensorType) -> TensorType:
        x.maps()
        return x


# ------------------------------------------------------------------ activations


@dataclass(frozen=True, repr=False, eq=False)
class ReLU(Op):
    """max(x, 0)."""


@dataclass(frozen=True, repr=False, eq=False)
class LeakyReLU(Op):
    """x where positive, `slope` x elsewhere."""

    slope: float = 0.01


@dataclass(frozen=True, repr=False, eq=False)
class PReLU(Op):
    """Leaky ReLU with a learned slope: one, or one per channel (He et al. 2015)."""

    per_channel: bool = False
    init: float = 0.25

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        return (Parameter("weight", (x.shape[0] if self.per_channel else 1,), "slope"),)


@dataclass(frozen=True, repr=False, eq=False)
class ELU(Op):
    """x where positive, alpha (exp x - 1) elsewhere."""

    alpha: float = 1.0


@dataclass(frozen=True, repr=False, eq=False)
class GELU(Op):
    """x times the normal distribution function of x, exact or by the tanh approximation."""

    approximate: bool = False


@dataclass(frozen=True, repr=False, eq=False)
class SiLU(Op):
    """x sigmoid(x)."""


@dataclass(frozen=True, repr=False, eq=False)
class Mish(Op):
    """x tanh(softplus x)."""


@dataclass(frozen=True, repr=False, eq=False)
class Sigmoid(Op):
    """1 / (1 + exp -x)."""


@dataclass(frozen=True, repr=False, eq=False)
class Tanh(Op):
    """Hyperbolic tangent."""


@dataclass(frozen=True, repr=False, eq=False)
class Maxout(Op):
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
    """Base of max and average pooling. In ceil mode a last, partial window counts."""

    kernel_size: Pair
    stride: Pair
    padding: Padding = Padding()
    ceil_mode: bool = False

    @property
    def even(self) -> bool:
        """True if both ends are padded equally, by at most half the kernel, as PyTorch's pools require."""
        (kh, kw), p = self.kernel_size, self.padding
        return p.symmetric and p.top <= kh // 2 and p.left <= kw // 2

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


@dataclass(frozen=True, repr=False, eq=False)
class AvgPool2d(Pool2d):
    """Average over each window.

    The divisor is the number of real cells under the window; with `count_include_pad`, of real and
    padded cells. Cells past the padding, which a ceil-mode window may overlap, never count.
    """

    count_include_pad: bool = False


@dataclass(frozen=True, repr=False, eq=False)
class GlobalPool2d(Op):
    """Base of the two global pools: each map becomes one number."""

    def infer(self, x: TensorType) -> TensorType:
        c, _, _ = x.maps()
        return x.with_shape(c, 1, 1)

    def window(self, x: TensorType) -> tuple[Pair, Pair]:
        _, h, w = x.maps()
        return (h, w), (1, 1)


@dataclass(frozen=True, repr=False, eq=False)
class AdaptiveAvgPool2d(GlobalPool2d):
    """Global average pooling (Lin et al. 2013, section 3.2)."""


@dataclass(frozen=True, repr=False, eq=False)
class AdaptiveMaxPool2d(GlobalPool2d):
    """Global maximum pooling."""


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


@dataclass(frozen=True, repr=False, eq=False)
class LogSoftmax(Op):
    """Scores to log-probabilities."""


def all_ops() -> tuple[type[Op], ...]:
    """Every concrete op, for the completeness tests of the rule tables."""
    bases = {Op, Pool2d, GlobalPool2d}
    found = [c for c in globals().values() if isinstance(c, type) and issubclass(c, Op)]
    return tuple(c for c in found if c not in bases)
