"""Layers that PyTorch lacks: uneven padding, and maxout."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 the field's name
from torch import Tensor, nn

from nin_spec.ir.types import Padding, Pair, end_padding, window_count


class PaddedConv2d(nn.Conv2d):
    """A convolution whose sides are padded apart; `pads` is (left, right, top, bottom)."""

    def __init__(self, *args: Any, pads: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H', W')."""
        return super().forward(F.pad(x, self.pads))

    def extra_repr(self) -> str:
        """Channels, kernel and the sides."""
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, pads={self.pads}"


class _Pool2d(nn.Module):
    """A pool with a padding for each side. In ceil mode a window must start inside it or the padding before."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Padding, *, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode

    def sides(self, x: Tensor) -> tuple[list[int], list[int]]:
        """What the windows touch, and of that the declared padding, each (left, right, top, bottom)."""
        p, reach, declared = self.padding, [], []
        for axis, before, after in ((1, p.left, p.right), (0, p.top, p.bottom)):
            size, k, s = x.shape[2 + axis], self.kernel[axis], self.stride[axis]
            end = end_padding(size, k, s, before, window_count(size, k, s, before, after, ceil_mode=self.ceil_mode))
            reach += [before, end]
            declared += [before, min(after, end)]
        return reach, declared

    def extra_repr(self) -> str:
        """As PyTorch's pools show themselves."""
        return f"{self.kernel}, stride={self.stride}, padding={tuple(self.padding)}, ceil_mode={self.ceil_mode}"


class MaxPool2d(_Pool2d):
    """Maximum over real cells."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        reach, _ = self.sides(x)
        return F.max_pool2d(F.pad(x, reach, value=float("-inf")), self.kernel, self.stride)


class AvgPool2d(_Pool2d):
    """Average over real cells, or over real and declared ones; never over what ceil mode adds."""

    def __init__(self, *args: Any, count_include_pad: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        reach, declared = self.sides(x)
        ones = torch.ones_like(x[:1, :1])
        if self.count_include_pad:
            ones = F.pad(ones, declared, value=1.0)
            beyond = [r - d for r, d in zip(reach, declared, strict=True)]
            cells = F.avg_pool2d(F.pad(ones, beyond), self.kernel, self.stride)
        else:
            cells = F.avg_pool2d(F.pad(ones, reach), self.kernel, self.stride)
        return F.avg_pool2d(F.pad(x, reach), self.kernel, self.stride) / cells

    def extra_repr(self) -> str:
        """With what counts."""
        return f"{super().extra_repr()}, count_include_pad={self.count_include_pad}"


class Maxout(nn.Module):
    """Maximum over groups of `pieces` neighbouring channels."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C / pieces, ...)."""
        return x.reshape(len(x), -1, self.pieces, *x.shape[2:]).amax(2)

    def extra_repr(self) -> str:
        """The pieces."""
        return f"pieces={self.pieces}"
