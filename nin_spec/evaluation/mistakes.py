"""The pictures that a network gets wrong, and how sure it was of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nin_spec.data import Split
from nin_spec.data.split import names_of
from nin_spec.evaluation.metrics import Scores, best, probabilities
from nin_spec.runtime.metadata import Output


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture, by its index in the split and its name, its true class, and the class that was predicted instead.

    `indices` are those of the true and the predicted class.

    `probability` is that of the predicted class, `own` that of the true one; None if the file does not say what its
    scores are.
    """

    index: int
    file: str
    true: str
    said: str
    probability: float | None
    own: float | None
    indices: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with the classes by name."""
        return {key: value for key, value in asdict(self).items() if key != "indices"}


def mistakes_of(scores: Scores, split: Split, output: Output | None, count: int) -> tuple[Mistake, ...]:
    """The wrong pictures of a split with these scores (n, C), at most `count` of them, the surest first.

    Without probabilities, those first whose score is furthest above that of their true class.
    """
    said = best(scores)
    values = scores.astype(np.float64) if output is None else probabilities(scores, output)
    high, own = (np.take_along_axis(values, of[:, None], 1)[:, 0] for of in (said, split.labels))
    wrong = np.flatnonzero(said != split.labels)
    worst = wrong[np.argsort(-(high - own if output is None else high)[wrong], kind="stable")][:count]
    files, names = names_of(split, worst), split.classes
    return tuple(
        Mistake(
            int(k),
            file,
            names[split.labels[k]],
            names[said[k]],
            None if output is None else float(high[k]),
            None if output is None else float(own[k]),
            (int(split.labels[k]), int(said[k])),
        )
        for k, file in zip(worst, files, strict=True)
    )
