"""How far results of a precision may be from exact ones, and how far they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, InputError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest allowed difference, relative to the largest reference value of the batch, and its reason."""

    allowed: float
    why: str


ANY = "any"
TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("float32", ANY): Tolerance(
        1e-4, "float32 rounding stays below 1e-5, while a wrong border or epsilon causes about 1e-3"
    ),
    ("float64", ANY): Tolerance(1e-9, "float64 rounding stays below 1e-13"),
    # Measured over the shipped specs and the published networks, every layer's output rounded: 3e-3 and 9e-3.
    ("float16", ANY): Tolerance(1e-2, "all published networks stayed below 3e-3"),
    ("bfloat16", ANY): Tolerance(5e-2, "all published networks stayed below 1e-2"),
    # Measured on trained networks: 0.02 to 0.04, and 0.2 to 0.3 where products saturate.
    ("int8", ANY): Tolerance(0.15, "trained networks stayed below 0.05, while sums that saturate cause about 0.2"),
}
"""By precision and provider; ANY applies to a provider without its own row."""


def tolerance_of(precision: str, provider: str) -> Tolerance:
    """The row of the table. Raises InputError for a precision without one."""
    found = TOLERANCES.get((precision, provider)) or TOLERANCES.get((precision, ANY))
    if found is None:
        known = ", ".join(dict.fromkeys(name for name, _ in TOLERANCES))
        message = f"parity is defined for {known}, but the file computes in {precision}"
        raise InputError(Code.MODEL_UNREADABLE, message)
    return found


def relative_difference(got: Array, wanted: Array) -> float:
    """The largest difference relative to the largest expected value; infinite for another shape or NaN.

    The difference itself where every expected value is below the smallest normal number, which devices may take for 0.
    """
    if got.shape != wanted.shape or not (np.isfinite(got).all() and np.isfinite(wanted).all()):
        return float("inf")
    largest = float(np.abs(wanted).max(initial=0.0))
    apart = float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0))
    smallest = np.finfo(np.float64 if got.dtype == np.float64 else np.float32).tiny
    return apart / largest if largest >= smallest else apart
