"""What flows along the chain: tensor types, windows, and the parameters that an op owns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

DType = Literal["float32", "float64"]
Pair = tuple[int, int]
"""(vertical, horizontal), as kernel sizes and strides are written."""

Role = Literal["weight", "bias", "scale", "shift", "mean", "var", "slope"]


class ShapeError(ValueError):
    """An op can't take its input. `field` names the attribute at fault, `hint` the fix."""

    def __init__(self, message: str, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint


class Padding(NamedTuple):
    """Cells added on each side."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def symmetric(self) -> bool:
        """True if both ends of each axis are padded equally."""
        return self.top == self.bottom and self.left == self.right

    @property
    def lrtb(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom), the order of torch.nn.functional.pad."""
        return self.left, self.right, self.top, self.bottom

    def __str__(self) -> str:
        if len(set(self)) == 1:
            return str(self.top)
        if self.symmetric:
            return f"{self.top}x{self.left}"
        return f"t{self.top} b{self.bottom} l{self.left} r{self.right}"


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor's shape without its batch axis, (C, H, W) or (features,), and its dtype."""

    shape: tuple[int, ...]
    dtype: DType = "float32"

    @property
    def size(self) -> int:
        """Number of elements for one image."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Memory of one image's tensor."""
        return self.size * (8 if self.dtype == "float64" else 4)

    @property
    def is_map(self) -> bool:
        """True for (C, H, W)."""
        return len(self.shape) == 3

    def maps(self) -> tuple[int, int, int]:
        """(C, H, W), or ShapeError once the maps are flattened."""
        if len(self.shape) != 3:
            msg = f"needs feature maps (C, H, W), but its input is flat: {self.shape[0]} features"
            raise ShapeError(msg)
        c, h, w = self.shape
        return c, h, w

    def with_shape(self, *shape: int) -> TensorType:
        """The same dtype in another shape."""
        return TensorType(shape, self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor that an op owns.

    `name` is the last part of its name (`weight`, `running_mean`); `fan_in` is the number of inputs
    that one output sums over, for weights; buffers (running statistics) are not trainable.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    fan_in: int | None = None
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def window_count(  # noqa: PLR0913 what a window on an axis is made of
    size: int,
    kernel: int,
    stride: int,
    before: int,
    after: int,
    *,
    ceil_mode: bool = False,
) -> int:
    """How many windows fit along one axis.

    In ceil mode a last, partial window counts when it starts inside the input or the padding before
    it (PyTorch `pooling_output_shape`, Caffe `pooling_layer.cpp`).
    """
    room = size + before + after - kernel
    if room < 0 and not (ceil_mode and room > -stride):
        return 0
    count = (room + stride - 1 if ceil_mode else room) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + before:
        count -= 1
    return count


def end_padding(size: int, kernel: int, stride: int, before: int, count: int) -> int:
    """Cells that the last of `count` windows needs after the input's end."""
    return max(0, (count - 1) * stride + kernel - size - before)
