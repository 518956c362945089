"""Whether two runtimes predict the same classes for the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nin_spec.data import Split
from nin_spec.data.split import names_of
from nin_spec.evaluation.metrics import Scores, best
from nin_spec.notebook import Part, Table

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A picture, by its index in the split, its true class, and the class that each runtime predicts.

    `file` is its name. `margin` is the difference of torch's scores of the two classes: tiny if rounding decides.
    """

    image: int
    file: str
    true: int
    torch: int
    onnxruntime: int
    margin: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The number of pictures for which both predict the same class, and the largest difference of scores.

    `first` are the first pictures where they differ, 20 unless more were asked for.
    """

    images: int
    same: int
    max_difference: float
    first: tuple[Disagreement, ...] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """True if they never differ."""
        return self.same == self.images

    def parts(self, classes: Sequence[str]) -> tuple[Part, ...]:
        """The pictures where they differ, as a notebook shows them."""
        rows = [(d.file, classes[d.true], classes[d.torch], classes[d.onnxruntime]) for d in self.first]
        return (Table(("seen differently", "true", "torch", "onnxruntime"), rows),) if rows else ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"first": [asdict(d) for d in self.first]}


def agreement_of(torch: Scores, onnxruntime: Scores, split: Split, count: int = SHOWN) -> Agreement:
    """The agreement of two arrays of scores (n, classes) for the pictures of a split, with the first that differ.

    Among equal scores the lowest class wins.
    """
    ours, theirs = best(torch), best(onnxruntime)
    apart = np.flatnonzero(ours != theirs)
    first = tuple(
        Disagreement(
            image=int(k),
            file=file,
            true=int(split.labels[k]),
            torch=int(ours[k]),
            onnxruntime=int(theirs[k]),
            margin=float(torch[k, ours[k]] - torch[k, theirs[k]]),
        )
        for k, file in zip(apart[:count], names_of(split, apart[:count]), strict=True)
    )
    difference = float(np.abs(torch.astype(np.float64) - onnxruntime).max())
    return Agreement(len(ours), len(ours) - len(apart), difference, first)
