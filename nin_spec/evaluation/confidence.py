"""How far the probability of a predicted class can be trusted: calibration, and what is gained by asking a person.

The confidence of a picture is the largest probability of its row. A network is calibrated if, of the pictures with a
confidence of p, the fraction p is classified correctly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 15
"""Bins of the reliability diagram and of the expected calibration error, as in Guo et al. 2017."""
POINTS = 100
"""Most points of a risk-coverage curve."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The pictures whose confidence is above `low` and at most `high`; `confidence` is their mean, None without any."""

    low: float
    high: float
    images: int
    correct: int
    confidence: float | None

    @property
    def accuracy(self) -> float | None:
        """Correct over images."""
        return self.correct / self.images if self.images else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"accuracy": self.accuracy}


@dataclass(frozen=True, slots=True)
class Point:
    """If only the surest pictures are answered, the fraction `coverage` of all: `risk` of them is wrong.

    `threshold` is the lowest confidence among them.
    """

    coverage: float
    risk: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """The confidence of an evaluation's pictures.

    `mean` is their mean confidence. `ece` is the expected calibration error (Guo et al. 2017, "On Calibration of Modern
    Neural Networks"): with 15 bins of equal width, the mean of |accuracy - mean confidence| of the bins, weighted by
    their pictures. `curve` is the risk-coverage curve (Geifman and El-Yaniv 2017), by rising coverage, and `aurc` the
    area under it: the mean risk over every number of pictures.
    """

    mean: float
    ece: float
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...]
    aurc: float

    def risk_at(self, coverage: float) -> float:
        """The risk if at least that fraction of the pictures is answered."""
        return next((p.risk for p in self.curve if p.coverage >= coverage), self.curve[-1].risk)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        bins, curve = [b.as_dict() for b in self.bins], [asdict(p) for p in self.curve]
        return {"mean": self.mean, "ece": self.ece, "aurc": self.aurc, "bins": bins, "risk_coverage": curve}


def confidence_of(sure: Probabilities, right: Flags) -> Confidence:
    """The confidence of pictures, at least one, by the probability of each one's predicted class (n,), 0 to 1.

    `right` (n,) says which of them were classified correctly.
    """
    bins = _bins(sure, right)
    gaps = (b.images * abs(b.correct / b.images - (b.confidence or 0.0)) for b in bins if b.images)
    curve, area = _risk_coverage(sure, right)
    return Confidence(float(sure.mean()), sum(gaps) / len(sure), bins, curve, area)


def _bins(sure: Probabilities, right: Flags) -> tuple[Bin, ...]:
    """The bins (k/15, (k+1)/15]; a confidence of 0 is in the first."""
    edges = np.arange(BINS + 1) / BINS
    places = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    correct = np.bincount(places, right, BINS)
    sums = np.bincount(places, sure, BINS)
    return tuple(
        Bin(float(edges[k]), float(edges[k + 1]), int(n), int(correct[k]), float(sums[k] / n) if n else None)
        for k, n in enumerate(counts)
    )


def _risk_coverage(sure: Probabilities, right: Flags) -> tuple[tuple[Point, ...], float]:
    """The curve at up to 100 coverages, and the area under it.

    Pictures of one confidence have no order: any number of them has their mean risk.
    """
    order = np.argsort(-sure, kind="stable")
    ranked, wrong = sure[order], np.cumsum(~right[order])
    count = np.arange(1, len(sure) + 1)
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # the last picture of each confidence
    errors = np.interp(count, np.append(0, count[ends]), np.append(0, wrong[ends]))
    risks = errors / count
    shown = np.unique(np.ceil(np.arange(1, POINTS + 1) / POINTS * len(sure)).astype(int)) - 1
    points = (Point(float(count[k] / len(sure)), float(risks[k]), float(ranked[k])) for k in shown)
    return tuple(points), float(risks.mean())
