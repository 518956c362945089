"""The ops that own weights or statistics, and the response norm."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nin_spec.ir.op import Op
from nin_spec.ir.types import Padding, Pair, Parameter, ShapeError, TensorType, window_count

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
