"""The accuracy of a file, and its agreement with the float32 file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nin_spec.data import Split
from nin_spec.evaluation.metrics import best
from nin_spec.evaluation.scores import Progress, Shape, session_scores
from nin_spec.model import Model
from nin_spec.runtime.session import Session, open_session

Scores = NDArray[np.floating[Any]]
BATCH = 64
ProgressOf = Callable[[str, int], Progress | None]
"""Creates a progress callback, from a name and the number of pictures."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Correct of `images` pictures: `before` by the float32 file, `after` by this one; `same` class by both."""

    images: int
    before: int
    after: int
    same: int

    @property
    def drop(self) -> float:
        """Percentage points of accuracy lost; negative for a gain."""
        return 100 * (self.before - self.after) / self.images

    def within(self, budget: float) -> bool:
        """True if the loss is within the budget."""
        return self.drop <= budget + 1e-9

    def __str__(self) -> str:
        lost = f"{self.drop:.2f} points lost" if self.drop >= 0 else f"{-self.drop:.2f} points gained"
        return f"{self.after / self.images:.2%}, {lost}; the same class as float32 for {self.same / self.images:.2%}"


@dataclass(frozen=True)
class Trial:
    """A split on one device, and the float32 file's scores on it, for comparison."""

    model: Model
    split: Split
    device: str
    scores: Scores
    options: Mapping[str, str] | None = None

    @classmethod
    def begin(
        cls,
        model: Model,
        split: Split,
        session: Session,
        progress: Progress | None,
        options: Mapping[str, str] | None = None,
    ) -> Trial:
        """Compute the float32 file's scores on the split, with its session on the device."""
        return cls(model, split, session.device, scores_of(session, model, split, progress), options)

    @property
    def before(self) -> int:
        """Pictures that the float32 file classifies correctly."""
        return int((best(self.scores) == self.split.labels).sum())

    def of(self, data: bytes, progress: Progress | None = None) -> Outcome:
        """The outcome of a reduced file. Raises what `session_scores` raises."""
        session = open_session(data, cast("Any", self.device), options=self.options)
        found = best(scores_of(session, self.model, self.split, progress))
        same = int((found == best(self.scores)).sum())
        return Outcome(len(found), self.before, int((found == self.split.labels).sum()), same)


def scores_of(session: Session, model: Model, split: Split, progress: Progress | None = None) -> Scores:
    """The scores of a split, preprocessed as in `model.card`."""
    shape = cast("Shape", model.graph.input.shape)
    return session_scores(session, split, model.card.preprocessing, shape, BATCH, progress)
