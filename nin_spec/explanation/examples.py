"""Pictures of a run with their class maps: those that the network is surest of, and its worst mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from nin_spec.data import Split, match_classes, sample
from nin_spec.data.split import names_of
from nin_spec.evaluation.metrics import best
from nin_spec.evaluation.mistakes import mistakes_of
from nin_spec.evaluation.scores import Array, Shape, session_scores
from nin_spec.explanation.explaining import OUTPUTS, outputs_of
from nin_spec.explanation.result import Explanation, explanation_of
from nin_spec.opened import exported
from nin_spec.pictures import frame_of, normalise
from nin_spec.runtime.session import Session, open_session
from nin_spec.training.sets import Role, open_run_split

if TYPE_CHECKING:
    from nin_spec.model import Preprocessing
    from nin_spec.training.folder import Run

MOST = 1000
"""Most pictures among which examples are chosen."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture with its true class, and the maps of the predicted class and, where that is wrong, of the true one."""

    true: str
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples chosen among `images` pictures of a split, a sample of its `total` pictures."""

    split: Role
    images: int
    total: int
    right: tuple[Example, ...]
    wrong: tuple[Example, ...]


def examples_of(run: Run, role: Role, count: int = 3) -> Examples:
    """At most `count` right pictures of different classes, the surest first, and as many wrong ones, likewise.

    Raises ExportError for a network without class maps, DataError for pictures that are missing or unusable,
    TrainingError, InputError, and ParityError where a map's mean is not its score.
    """
    network = run.network
    whole = match_classes(open_run_split(run, role), network.card.labels, network.card.classes)
    split = sample(whole, MOST, seed=0)
    session = open_session(exported(run, "cpu", OUTPUTS), "cpu")
    contract, shape = network.card.preprocessing, cast("Shape", network.graph.input.shape)
    scores = session_scores(session, split, contract, shape)
    explain = _Explainer(session, split, contract, shape)
    wrong = [mistake.index for mistake in mistakes_of(scores, split, session.metadata.output, count)]
    found = [tuple(explain(k, scores[k]) for k in chosen) for chosen in (_right(scores, split, count), wrong)]
    return Examples(role, len(split), len(whole), *found)


def _right(scores: Array, split: Split, count: int) -> list[int]:
    """The right picture of each class whose score is furthest above all others, of the `count` classes where most."""
    said, ranked = best(scores), np.sort(scores.astype(np.float64), axis=1)
    lead = ranked[:, -1] - ranked[:, -2] if scores.shape[1] > 1 else ranked[:, -1]
    right = np.flatnonzero(said == split.labels)
    order = right[np.argsort(-lead[right], kind="stable")]
    first = np.unique(split.labels[order], return_index=True)[1]
    return [int(k) for k in order[np.sort(first)][:count]]


@dataclass(frozen=True, slots=True)
class _Explainer:
    session: Session
    split: Split
    contract: Preprocessing
    shape: Shape

    def __call__(self, index: int, scores: Array) -> Example:
        """The explanation of a picture by its index in the split."""
        where, info = np.array([index], np.int64), self.session.metadata
        (pixels,) = self.split.pictures(where, frame_of(self.shape, self.contract))
        (x,) = normalise(pixels[None], self.contract, self.session.dtype, self.shape[0])
        shown = dict.fromkeys([int(best(scores[None])[0]), int(self.split.labels[index])])
        wanted = [info.labels[k] if info.labels else str(k) for k in shown]
        (name,) = names_of(self.split, where)
        outputs = outputs_of(self.session, x)
        return Example(
            self.split.classes[self.split.labels[index]], explanation_of(name, pixels, outputs, info, wanted)
        )
