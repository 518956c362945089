"""What every op of the graph is: a value with a shape rule, and with the parameters that it owns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from nin_spec.ir.types import Pair, Parameter, TensorType


@dataclass(frozen=True, repr=False, eq=False)
class Op:
    """One operation; by default it keeps the shape and owns no parameters."""

    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """What its values stay between, for any input and any attributes."""

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
