"""Check that contenders compute the same: only then are their times compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.runtime.tolerances import relative_difference

Array = NDArray[np.floating[Any]]

TOLERANCES = {
    # Two results, each rounded at every step and both about 1e-5 from the exact one, for which parity allows 1e-4.
    "float32": 2e-4,
    "float64": 2e-9,
    # 11 and 8 bits of each factor, through some ten layers.
    "float16": 2e-2,
    "bfloat16": 1e-1,
    # Coarse on purpose, as accuracy is checked when the file is made; a different network is off by more.
    "int8": 5e-1,
}
"""Largest allowed difference of two contenders relative to the largest score, by the less precise of them."""


@dataclass
class Judge:
    """Stores the first contender's scores at each batch size, and compares the others with them."""

    first: dict[int, tuple[str, str, Array]] = field(default_factory=dict)

    def objection(self, label: str, batch: int, precision: str, scores: Array) -> str | None:
        """Why these scores differ from the first contender's; None if they don't, or for the first itself."""
        if batch not in self.first:
            self.first[batch] = (label, precision, scores)
            return None
        other, coarse, wanted = self.first[batch]
        allowed = max(tolerance(precision), tolerance(coarse))
        apart = relative_difference(scores, wanted)
        if apart <= allowed:
            return None
        return f"its scores differ from those of {other}: {_describe(scores, wanted, apart)}, allowed {allowed:g}"


def tolerance(precision: str) -> float:
    """The tolerance of a precision; for an unknown one, float32's."""
    return TOLERANCES.get(precision, TOLERANCES["float32"])


def _describe(got: Array, wanted: Array, apart: float) -> str:
    if got.shape != wanted.shape:
        return f"shape {got.shape} instead of {wanted.shape}"
    return "a NaN score" if apart == float("inf") else f"scores {apart:.1e} of the largest apart"
