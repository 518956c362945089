"""What a benchmark's figures must be, and the verdict on each."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Bar:
    """What a figure must be. `figure` is None where it wasn't measured; `unjudged` says why it isn't judged."""

    what: str
    sign: Literal["<=", "<", ">=", ">"]
    value: float
    figure: float | None
    of: int = 0
    unjudged: str = ""

    @property
    def verdict(self) -> str:
        """Holds, missed, or why neither."""
        if self.unjudged:
            return f"not judged here: {self.unjudged}"
        if self.figure is None:
            return "NOT MEASURED"
        compare = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}[self.sign]
        return "holds" if compare(self.figure, self.value) else "MISSED"

    @property
    def missed(self) -> bool:
        """True for what was to hold and doesn't, or wasn't measured."""
        return self.verdict in {"MISSED", "NOT MEASURED"}

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        bar = f"{self.sign} {self.value:g}"
        return {"what": self.what, "bar": bar, "figure": self.figure, "of": self.of, "verdict": self.verdict}


def geometric_mean(numbers: Iterable[float]) -> float:
    """The geometric mean of ratios."""
    found = list(numbers)
    return math.exp(math.fsum(map(math.log, found)) / len(found))


def _shown(value: float) -> str:
    """Two places, or as many as there are: 0.60, 0.995."""
    return max(f"{value:.2f}", f"{value:g}", key=len)


def verdicts(judged: Sequence[Bar]) -> list[str]:
    """A line for each bar."""
    from nin_spec.printing import columns

    figures = ["" if bar.figure is None else f"{bar.figure:.3f}" for bar in judged]
    rows = [
        (bar.what, figure, f"{bar.sign} {_shown(bar.value)}", f"of {bar.of}" if bar.of > 1 else "", bar.verdict)
        for bar, figure in zip(judged, figures, strict=True)
    ]
    return columns([("", "figure", "bar", "", ""), *rows], right={1, 3})
