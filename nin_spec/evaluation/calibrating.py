"""Fit one temperature to the validation split of a run, so that its probabilities can be trusted.

The temperature T minimises the negative log-likelihood of softmax(scores / T) (Guo et al. 2017, section 4.2). Without
an error in the split that has no minimum: the surer, the better. Then the targets are those of Platt 1999: of n
pictures, 1 / (n + 2) of the probability is left to the other classes, for errors that n pictures are too few to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nin_spec.data import Split, fingerprint, match_classes
from nin_spec.diagnostics import Code, TrainingError, counted
from nin_spec.evaluation.metrics import Classes, Evaluation, Scores, best, evaluation_of, log_probabilities
from nin_spec.evaluation.scores import BATCH, Progress, Shape, session_scores
from nin_spec.exporter import make
from nin_spec.model import Model
from nin_spec.notebook import Table, view
from nin_spec.passes.temperature import with_temperature
from nin_spec.printing import share
from nin_spec.runtime.metadata import Output
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import open_session
from nin_spec.training.folder import Run, versions_of
from nin_spec.training.sets import open_run_split
from nin_spec.weights.temperature import FittedTemperature, Quality, write_temperature

_DIGITS = 6
"""Significant digits of a temperature: enough for any probability, and few enough to read."""
_RANGE = (1e-8, 1e8)
"""Factors on scores of standard deviation 1."""
_ROUNDS = 200
_ROWS = 8192
"""Rows of scores at once, to limit memory."""

ProgressOf = Callable[[str], Progress]
"""Creates the progress callback of a step, `before` or `after`."""


@dataclass(frozen=True)
class Calibrated:
    """The temperature of a run, and the evaluation of its validation split before and after.

    `same` of its pictures have the same predicted class as before: all of them, unless scores tie to the last bit.
    """

    path: Path
    fitted: FittedTemperature
    before: Evaluation
    after: Evaluation
    same: int

    def __repr__(self) -> str:
        return f"<calibrated: temperature {self.fitted.temperature:g}, in {str(self.path)!r}>"

    def rows(self) -> list[tuple[str, str, str]]:
        """What it changes, as people read it: name, before, after."""
        return list(zip(_NAMES, _figures(self.before), _figures(self.after), strict=True))

    @property
    def unchanged(self) -> str:
        """How many predicted classes stayed, in a sentence."""
        return f"the same class is predicted for {self.same:,} of {counted(self.before.images, 'picture')}"

    def _repr_html_(self) -> str:
        title = f"temperature {self.fitted.temperature:g}"
        return view(title, Table(("", "before", "after"), self.rows(), {1, 2}), about=self.unchanged)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.fitted.model_dump(mode="json"),
            "path": str(self.path),
            "same_class": self.same,
            "before": self.before.headline(),
            "after": self.after.headline(),
        }


def calibrate(  # noqa: PLR0913 keywords
    run: Run,
    device: Device = "cpu",
    *,
    data: str | Path | None = None,
    threads: int | None = None,
    options: dict[str, Any] | None = None,
    batch: int = BATCH,
    progress: ProgressOf | None = None,
) -> Calibrated:
    """Fit the temperature of a run's result on its validation split, and write `temperature.json` into its folder.

    Everything that opens the run then uses it. `data` is where the pictures are, if they have moved.

    Raises:
        TrainingError: a run without a validation split or weights, or one that is right no more often than by chance.
        DataError: unreadable pictures. DeviceError: the device can't run here. ExportError: the folder is read-only.
    """
    digest, raw = run.digest, run.uncalibrated()
    split = open_run_split(run, "validation", None if data is None else Path(data))
    split = match_classes(split, raw.card.labels, raw.card.classes)

    def measure(model: Model, name: str) -> tuple[Scores, Output]:
        (content,) = make(model, "onnx", {}).files.values()
        session = open_session(content, device, threads, options=options)
        shape = cast("Shape", model.graph.input.shape)
        told = progress(name) if progress else None
        scores = session_scores(session, split, model.card.preprocessing, shape, batch, told)
        return scores, session.metadata.output or "scores"

    scores, kind = measure(raw, "before")
    temperature = _fitted(run, log_probabilities(scores, kind), split)
    calibrated, _ = measure(with_temperature(raw, temperature), "after")
    before, after = (evaluation_of(found, split.labels, split.classes, kind) for found in (scores, calibrated))
    fitted = FittedTemperature(
        temperature=temperature,
        weights_sha256=digest,
        images=len(split),
        fingerprint=fingerprint(split),
        accuracy=after.accuracy,
        before=_quality(before),
        after=_quality(after),
        versions=versions_of(("numpy",)),
    )
    path = write_temperature(run.path, fitted)
    return Calibrated(path, fitted, before, after, int((best(scores) == best(calibrated)).sum()))


_NAMES = ("expected calibration error", "negative log-likelihood", "mean confidence", "accuracy")


def _figures(found: Evaluation) -> tuple[str, ...]:
    """The figures of those names, of an evaluation whose kind of scores is known."""
    sure = found.confidence
    return f"{found.ece:.4f}", f"{found.loss:.4f}", share(None if sure is None else sure.mean), share(found.accuracy)


def _quality(found: Evaluation) -> Quality:
    assert found.confidence is not None  # noqa: S101 the kind of the scores is known
    assert found.loss is not None  # noqa: S101 likewise
    return Quality(ece=found.confidence.ece, loss=found.loss, mean_confidence=found.confidence.mean)


def _fitted(run: Run, logs: NDArray[np.float64], split: Split) -> float:
    found = fit_temperature(logs, split.labels)
    if found is None:
        message = f"{run.path} can't be calibrated: its classes of {split.where} are no better than chance"
        raise TrainingError(
            Code.RUN_UNUSABLE, message, hint="train it first; nin-spec evaluate shows what it has learnt"
        )
    return found


def fit_temperature(logs: NDArray[np.float64], labels: Classes) -> float | None:
    """The temperature for scores, or logarithms of probabilities, `logs` (n, C), to six digits.

    None if the likelihood only rises with the temperature: the scores say nothing about the classes. The negative
    log-likelihood is convex in 1 / T, so its slope has one zero, which Newton's method finds within a bracket.
    """
    others = 0.0 if (best(logs) != labels).any() else 1 / (len(logs) + 2)
    if _slopes(logs, labels, 0.0, others)[0] >= 0:
        return None
    unit = float(logs.std())
    low, high = (bound / unit for bound in _RANGE)
    factor = 1 / unit
    for _ in range(_ROUNDS):
        slope, curvature = _slopes(logs, labels, factor, others)
        low, high = (factor, high) if slope < 0 else (low, factor)
        step = factor - slope / curvature if curvature > 0 else 0.0
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following - factor) <= 1e-10 * factor:
            break
        factor = following
    return float(f"{1 / factor:.{_DIGITS}g}")


def _slopes(logs: NDArray[np.float64], labels: Classes, factor: float, others: float) -> tuple[float, float]:
    """The first and second derivative of the negative log-likelihood by 1 / T, at `factor`.

    The targets leave the probability `others` to the classes that are not the true one.
    """
    slope = curvature = 0.0
    for z, label in _cut(logs, labels):
        p = np.exp(factor * (z - z.max(1, keepdims=True)))
        p /= p.sum(1, keepdims=True)
        mean = (p * z).sum(1)
        own = np.take_along_axis(z, label[:, None], 1)[:, 0]
        rest = (z.sum(1) - own) / (z.shape[1] - 1)
        slope += float((mean - (1 - others) * own - others * rest).sum())
        curvature += float((p * (z - mean[:, None]) ** 2).sum())
    return slope, curvature


def _cut(logs: NDArray[np.float64], labels: Classes) -> Iterator[tuple[NDArray[np.float64], Classes]]:
    for k in range(0, len(logs), _ROWS):
        yield logs[k : k + _ROWS], labels[k : k + _ROWS]
