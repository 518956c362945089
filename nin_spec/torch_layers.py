"""Layers that PyTorch lacks: asymmetric padding, and maxout.

The functions use only plain numbers and torch, so that the source exporter can copy them into its files.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 the field's name
from torch import Tensor, nn

from nin_spec.ir.types import end_padding, window_count


def touched(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], sides: tuple[int, ...], *, ceil_mode: bool
) -> tuple[list[int], list[int]]:
    """The padding that windows over (N, C, H, W) cover, and its declared part, as (left, right, top, bottom).

    `sides` is the declared padding in that order. In ceil mode a last, partial window counts when it starts
    inside the input or the padding before it.
    """
    reach, declared = [], []
    for axis, before, after in ((1, *sides[:2]), (0, *sides[2:])):
        size, k, s = x.shape[2 + axis], kernel[axis], stride[axis]
        end = end_padding(size, k, s, before, window_count(size, k, s, before, after, ceil_mode=ceil_mode))
        reach += [before, end]
        declared += [before, min(after, end)]
    return reach, declared


def uneven_max_pool(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], sides: tuple[int, ...], *, ceil_mode: bool
) -> Tensor:
    """Maximum over the real cells of each window."""
    reach, _ = touched(x, kernel, stride, sides, ceil_mode=ceil_mode)
    return F.max_pool2d(F.pad(x, reach, value=float("-inf")), kernel, stride)


def uneven_avg_pool(  # noqa: PLR0913 the parameters of an average
    x: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    sides: tuple[int, ...],
    *,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    """Average over the real cells of each window, or the real and declared ones; never over what ceil mode adds."""
    reach, declared = touched(x, kernel, stride, sides, ceil_mode=ceil_mode)
    counted = F.pad(torch.ones_like(x[:1, :1]), declared, value=1.0 if count_include_pad else 0.0)
    beyond = [r - d for r, d in zip(reach, declared, strict=True)]
    share = F.avg_pool2d(F.pad(counted, beyond), kernel, stride)
    return F.avg_pool2d(F.pad(x, reach), kernel, stride) / share


def maxout(x: Tensor, pieces: int) -> Tensor:
    """Maximum over groups of `pieces` neighbouring channels: (N, C, ...) to (N, C / pieces, ...)."""
    return x.reshape(len(x), -1, pieces, *x.shape[2:]).amax(2)


class PaddedConv2d(nn.Conv2d):
    """A convolution with a separate padding per side; `pads` is (left, right, top, bottom)."""

    def __init__(self, *args: Any, pads: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H', W')."""
        return super().forward(F.pad(x, self.pads))

    def extra_repr(self) -> str:
        """Channels, kernel and the sides."""
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, pads={self.pads}"


class UnevenPool2d(nn.Module):
    """A pool with a separate padding per side; `count_include_pad` is None for the maximum."""

    def __init__(
        self,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        sides: tuple[int, ...],
        *,
        ceil_mode: bool,
        count_include_pad: bool | None = None,
    ) -> None:
        super().__init__()
        self.window = (kernel, stride, sides)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        if self.count_include_pad is None:
            return uneven_max_pool(x, *self.window, ceil_mode=self.ceil_mode)
        return uneven_avg_pool(x, *self.window, ceil_mode=self.ceil_mode, count_include_pad=self.count_include_pad)

    def extra_repr(self) -> str:
        """The window, and what counts."""
        kernel, stride, sides = self.window
        count = "max" if self.count_include_pad is None else f"count_include_pad={self.count_include_pad}"
        return f"{kernel}, stride={stride}, sides={sides}, ceil_mode={self.ceil_mode}, {count}"


class Maxout(nn.Module):
    """Maximum over groups of `pieces` neighbouring channels."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C / pieces, ...)."""
        return maxout(x, self.pieces)

    def extra_repr(self) -> str:
        """The pieces."""
        return f"pieces={self.pieces}"


class Affine(nn.Module):
    """x * weight + bias per channel; either may be missing."""

    def __init__(self, channels: int, *, scale: bool, shift: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if scale else None
        self.bias = nn.Parameter(torch.zeros(channels)) if shift else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C, ...)."""
        shape = (1, -1, *(1,) * (x.ndim - 2))
        x = x if self.weight is None else x * self.weight.view(shape)
        return x if self.bias is None else x + self.bias.view(shape)


class ChannelOrder(nn.Module):
    """Selects channels by index."""

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, len(order), ...)."""
        return x[:, list(self.order)]

    def extra_repr(self) -> str:
        """The numbers."""
        return f"{self.order}"


class Temperature(nn.Module):
    """x / value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C, ...)."""
        return x / self.value

    def extra_repr(self) -> str:
        """The value."""
        return f"{self.value:g}"
