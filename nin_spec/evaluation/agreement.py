"""Whether two runtimes say the same of the same pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nin_spec.evaluation.metrics import Classes, Scores, best

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A picture, by its number in the part, its true class, and the class that each runtime gives it.

    `margin` is how far torch's scores of the two classes lie apart: next to nothing where rounding decides.
    """

    image: int
    true: int
    torch: int
    onnxruntime: int
    margin: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """For how many of the pictures both give the same class, and the largest difference of two scores.

    `first` are the first 20 pictures where they differ.
    """

    images: int
    same: int
    max_difference: float
    first: tuple[Disagreement, ...] = ()

    @property
    def complete(self) -> bool:
        """True when they differ nowhere."""
        return self.same == self.images

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"first": [asdict(d) for d in self.first]}


def agreement_of(torch: Scores, onnxruntime: Scores, labels: Classes) -> Agreement:
    """Of two arrays of scores (n, classes) for pictures of the classes `labels` (n,).

    Of equal scores that of the lowest class counts.
    """
    ours, theirs = best(torch), best(onnxruntime)
    apart = np.flatnonzero(ours != theirs)
    first = tuple(
        Disagreement(
            image=int(k),
            true=int(labels[k]),
            torch=int(ours[k]),
            onnxruntime=int(theirs[k]),
            margin=float(torch[k, ours[k]] - torch[k, theirs[k]]),
        )
        for k in apart[:SHOWN]
    )
    difference = float(np.abs(torch.astype(np.float64) - onnxruntime).max())
    return Agreement(len(ours), len(ours) - len(apart), difference, first)
