"""From inputs to ranked classes, as pure data; the command line prints it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, InputError
from nin_spec.runtime.images import NamedInput
from nin_spec.runtime.metadata import Output
from nin_spec.runtime.patience import RUNNING, within
from nin_spec.runtime.session import Array, Session, show

# Inputs per run for an open batch: enough to use the threads, little memory.
BATCH = 32


@dataclass(frozen=True, slots=True)
class Row:
    """One of the best classes: rank from 1, index, label, score, and probability if known."""

    rank: int
    index: int
    label: str
    score: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input's best classes, best first, and all its raw scores, one per class."""

    name: str
    rows: tuple[Row, ...]
    scores: Array


def classify(session: Session, inputs: Sequence[NamedInput], top: int = 5) -> list[Prediction]:
    """The `top` best classes of each input, in the order of the inputs. Equal scores: lower index first.

    Consecutive inputs of one shape share a batch; if the model has a fixed batch size, the last batch is padded with
    zeros, and their scores are dropped.

    Raises:
        InputError: an input doesn't fit, or the model doesn't return one score per class.
    """
    found: list[Prediction] = []
    for names, batch in _batches(session, inputs):
        scores = _scores(session, batch)
        found += [_predict(session, name, row, top) for name, row in zip(names, scores, strict=True)]
    return found


def stack(predictions: Sequence[Prediction]) -> Array:
    """All raw scores, (inputs, classes)."""
    return np.stack([p.scores for p in predictions])


def _batches(session: Session, inputs: Sequence[NamedInput]) -> Iterator[tuple[list[str], Array]]:
    size = session.input_shape[0] or BATCH
    for _, group in groupby(inputs, key=lambda item: item[1].shape):
        same = list(group)
        for start in range(0, len(same), size):
            names, arrays = zip(*same[start : start + size], strict=True)
            yield list(names), np.stack(arrays)


def _scores(session: Session, batch: Array) -> Array:
    count, fixed = len(batch), session.input_shape[0]
    if fixed and count < fixed:
        batch = np.concatenate([batch, np.zeros((fixed - count, *batch.shape[1:]), batch.dtype)])
    scores = within(RUNNING, "the model", "running it", lambda: session.run(batch))
    if scores.shape[:1] != batch.shape[:1] or scores.ndim != 2:
        message = f"the model returns {show(scores.shape)} for {len(batch)} inputs, not one score per class"
        raise InputError(Code.MODEL_UNREADABLE, message)
    return scores[:count]


def _predict(session: Session, name: str, scores: Array, top: int) -> Prediction:
    labels = session.metadata.labels
    if labels and len(labels) != len(scores):
        message = f"the model has {len(labels)} labels but returns {len(scores)} scores"
        raise InputError(Code.MODEL_UNREADABLE, message)
    probabilities = probabilities_of(scores, session.metadata.output)
    best = np.argsort(-scores, kind="stable")[:top]
    rows = tuple(
        Row(
            rank=rank,
            index=int(k),
            label=labels[k] if labels else str(k),
            score=float(scores[k]),
            probability=None if probabilities is None else float(probabilities[k]),
        )
        for rank, k in enumerate(best, start=1)
    )
    return Prediction(name, rows, scores)


def probabilities_of(scores: Array, output: Output | None) -> NDArray[np.float64] | None:
    """One input's probabilities, by the kind of its scores; None if the model doesn't declare it."""
    rule = _PROBABILITIES.get(output) if output else None
    return rule(scores.astype(np.float64)) if rule else None


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max())
    normalised: NDArray[np.float64] = powers / powers.sum()
    return normalised


_PROBABILITIES: dict[Output, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "scores": _softmax,
    "probabilities": lambda scores: scores,
    "log_probabilities": np.exp,
}
