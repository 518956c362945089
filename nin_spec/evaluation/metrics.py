"""Metrics from scores and true classes, as pure data; the command line prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import counted
from nin_spec.evaluation.confidence import Confidence, confidence_of
from nin_spec.notebook import Facts, Part, Table, view
from nin_spec.printing import share
from nin_spec.runtime.metadata import Output

Scores = NDArray[np.floating[Any]]
Classes = NDArray[np.int64]

CLASS_HEADERS = ("class", "images", "correct", "recall", "precision")
CLASS_RIGHT = frozenset({1, 2, 3, 4})
"""The columns of numbers."""
_TOP = 5
MATRIX_CLASSES = 20
"""Classes of which a confusion matrix is still read as numbers."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: its pictures, how many were classified correctly, how often it was predicted.

    `recall` is correct / images, None without images; `precision` is correct / predicted, None without predictions.
    """

    label: str
    images: int
    correct: int
    predicted: int

    @property
    def recall(self) -> float | None:
        """Correct over images."""
        return self.correct / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Correct over predicted."""
        return self.correct / self.predicted if self.predicted else None

    def cells(self) -> tuple[str, ...]:
        """The row as people read it, by CLASS_HEADERS."""
        return self.label, f"{self.images:,}", f"{self.correct:,}", share(self.recall), share(self.precision)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"recall": self.recall, "precision": self.precision}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of an evaluation.

    `confusion` (C, C) counts pictures, a row per true class, a column per predicted one. `in_top5` counts pictures
    whose class is among the five best, None for at most five classes. `loss` is the mean cross-entropy in nats (the
    negative log-likelihood); it and `confidence` are None if the model doesn't declare the kind of its scores.
    """

    classes: tuple[str, ...] = field(repr=False)
    confusion: Classes = field(repr=False)
    in_top5: int | None
    loss: float | None
    confidence: Confidence | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<evaluation: {'; '.join(f'{name} {value}' for name, value in self.facts())}>"

    @property
    def images(self) -> int:
        """Pictures."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Pictures that were classified correctly."""
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, 0 to 1."""
        return self.correct / self.images

    @property
    def top5(self) -> float | None:
        """Top-5 accuracy, 0 to 1; None for at most five classes."""
        return None if self.in_top5 is None else self.in_top5 / self.images

    @property
    def ece(self) -> float | None:
        """The expected calibration error, 0 to 1."""
        return None if self.confidence is None else self.confidence.ece

    @property
    def per_class(self) -> tuple[ClassRow, ...]:
        """A row for each class."""
        counts = zip(self.confusion.sum(1), self.confusion.diagonal(), self.confusion.sum(0), strict=True)
        return tuple(ClassRow(c, *map(int, row)) for c, row in zip(self.classes, counts, strict=True))

    def facts(self) -> list[tuple[str, str]]:
        """The totals as labelled values, as far as they are known."""
        found = [("accuracy", f"{self.accuracy:.2%} of {counted(self.images, 'picture')}")]
        found += [] if self.top5 is None else [("top-5 accuracy", f"{self.top5:.2%}")]
        found += [] if self.loss is None else [("mean cross-entropy", f"{self.loss:.4f}")]
        if self.confidence is None:
            return found
        sure = [("expected calibration error", self.confidence.ece), ("mean confidence", self.confidence.mean)]
        return [*found, *((name, f"{value:.4f}") for name, value in sure)]

    def parts(self) -> tuple[Part, ...]:
        """The totals, a row per class, and the confusion matrix where it can be read, as a notebook shows them."""
        classes = Table(CLASS_HEADERS, [row.cells() for row in self.per_class], CLASS_RIGHT)
        if len(self.classes) > MATRIX_CLASSES:
            return Facts(self.facts()), classes
        counts = [
            (label, *(str(n) if n else "." for n in row))
            for label, row in zip(self.classes, self.confusion.tolist(), strict=True)
        ]
        columns = range(1, len(self.classes) + 1)
        matrix = Table(("true \\ predicted", *self.classes), counts, columns, "confusion matrix")
        return Facts(self.facts()), classes, matrix

    def _repr_html_(self) -> str:
        return view(f"accuracy {self.accuracy:.2%}", *self.parts())

    def headline(self) -> dict[str, Any]:
        """Only the totals, as plain data."""
        keys = ("accuracy", "top5", "loss", "ece", "images", "correct")
        return {key: getattr(self, key) for key in keys}

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return self.headline() | {
            "classes": list(self.classes),
            "per_class": [row.as_dict() for row in self.per_class],
            "confusion": self.confusion.tolist(),
            "confidence": None if self.confidence is None else self.confidence.as_dict(),
        }


def evaluation_of(scores: Scores, labels: Classes, classes: tuple[str, ...], output: Output | None) -> Evaluation:
    """The evaluation of finite `scores` (n, C) for pictures of the classes `labels` (n,), at least one.

    `output` is the kind of the scores, for the loss and the confidence.
    """
    table = confusion(labels, best(scores), len(classes))
    in_top5 = int((ranks(scores, labels) < _TOP).sum()) if len(classes) > _TOP else None
    return Evaluation(classes, table, in_top5, mean_loss(scores, labels, output), _confidence(scores, labels, output))


def _confidence(scores: Scores, labels: Classes, output: Output | None) -> Confidence | None:
    """The confidence of the predicted classes; None if `output` is None."""
    if output is None:
        return None
    predicted = best(scores)
    sure = np.take_along_axis(probabilities(scores, output), predicted[:, None], 1)[:, 0]
    return confidence_of(np.clip(sure, 0.0, 1.0), predicted == labels)  # float32 may round above 1


def best(scores: Scores) -> Classes:
    """The best class of each row; for equal scores, the lowest index."""
    found: Classes = scores.argmax(1)
    return found


def confusion(labels: Classes, predicted: Classes, classes: int) -> Classes:
    """Counts (C, C): a row per true class, a column per predicted one."""
    pairs = np.bincount(labels * classes + predicted, minlength=classes * classes)
    counts: Classes = pairs.reshape(classes, classes).astype(np.int64, copy=False)
    return counts


def ranks(scores: Scores, labels: Classes) -> Classes:
    """The rank of the true class in each row, from 0; among equal scores, the lower index is first."""
    own = np.take_along_axis(scores, labels[:, None], 1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    places: Classes = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return places


def mean_loss(scores: Scores, labels: Classes, output: Output | None) -> float | None:
    """The mean cross-entropy, -log of the true class's probability, in nats; None if `output` is None."""
    if output is None:
        return None
    own = log_probabilities(scores, output)
    return float(-np.take_along_axis(own, labels[:, None], 1).mean())


def probabilities(scores: Scores, output: Output) -> NDArray[np.float64]:
    """The probabilities (n, C) of scores of that kind."""
    if output == "probabilities":
        return scores.astype(np.float64)
    result: NDArray[np.float64] = np.exp(log_probabilities(scores, output))
    return result


def log_probabilities(scores: Scores, output: Output) -> NDArray[np.float64]:
    """The logarithms (n, C) of the probabilities of scores of that kind."""
    return _LOG_PROBABILITIES[output](scores.astype(np.float64))


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _log(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    # A probability that float32 rounded to 0 would make the mean infinite.
    smallest = float(np.finfo(np.float32).tiny)
    result: NDArray[np.float64] = np.log(np.maximum(probabilities, smallest))
    return result


_LOG_PROBABILITIES: dict[Output, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "scores": _log_softmax,
    "probabilities": _log,
    "log_probabilities": lambda scores: scores,
}
