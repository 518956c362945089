"""Padding by a separate operator before a window, merged into the window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from nin_spec.importers.chain import Step, refusal
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, TensorType

LOWEST = -1e30
"""Padding below this never wins one."""
Fill = Literal["zeros", "lowest", "edge"]
"""What the cells hold that it adds: zeros, a number that never wins a maximum, or copies of the nearest cell."""
_NAMES = {"lowest": "pads with the lowest number", "edge": "repeats the cells at the edge"}
REFUSED = "the language pads with zeros, or a max pool with values that never win"


@dataclass(frozen=True)
class Pending:
    """A padding that waits for its window; `origin` is the operator that asked for it."""

    sides: Padding
    fill: Fill
    origin: str

    def zeros(self) -> Padding:
        """The sides, for a convolution or an average. Raises ForeignModelError where they don't hold zeros."""
        if self.fill != "zeros":
            raise refusal(self.origin, f"it {_NAMES[self.fill]}, but is not before a maximum")
        return self.sides

    def of_maximum(self, op: ops.MaxPool2d, maps: TensorType, last: Step | None) -> ops.MaxPool2d:
        """The pool of `maps` with this padding added to its own. Raises ForeignModelError where that is another pool.

        A copy of a cell never beats the cell, and each window that sees the copy sees the cell too, as long as the
        padding is smaller than the kernel and no window begins behind the maps.
        """
        both = Padding(*(a + b for a, b in zip(op.padding, self.sides, strict=True)))
        match self.fill:
            case "zeros":
                # Zeros never win a maximum that sees one cell of what is not negative.
                if last is None or last.op.bounds[0] < 0:
                    raise refusal(self.origin, "zeros around a maximum, which may win against negative values")
            case "edge":
                if op.padding != Padding():
                    raise refusal(self.origin, "it repeats the cells at the edge, and the maximum pads them again")
            case "lowest":
                pass
        padded = replace(op, padding=both)
        if op.counts(self._around(maps)) != padded.counts(maps):
            raise refusal(self.origin, "a window of the maximum sees nothing but padding")
        return padded

    def _around(self, maps: TensorType) -> TensorType:
        """The maps with the padding."""
        channels, height, width = maps.maps()
        sides = self.sides
        return TensorType((channels, height + sides.top + sides.bottom, width + sides.left + sides.right), maps.dtype)


def fill_of(mode: str, number: float) -> Fill | None:
    """What a padding mode fills in, ONNX's `edge` and PyTorch's `replicate` alike; None if the language lacks it."""
    if mode in {"edge", "replicate"}:
        return "edge"
    if mode != "constant":
        return None
    return "zeros" if number == 0 else "lowest" if number < LOWEST else None
