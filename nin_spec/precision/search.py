"""Keep the most sensitive layers in float, one after another, until int8 is within the budget.

Each layer is quantised alone and ranked by the error of the scores, on training pictures without labels, so that the
ranking is independent of the pictures that measure the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nin_spec.data.views import sample
from nin_spec.precision.calibration import Ranges
from nin_spec.precision.int8 import layers_of, quantise
from nin_spec.precision.job import Job
from nin_spec.precision.samples import SEED
from nin_spec.precision.trial import Outcome, Scores, scores_of
from nin_spec.runtime.session import open_session

RANKED_ON = 128
"""Number of pictures for the ranking: enough to distinguish errors of some percent, each costs a run per layer."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A layer, and the relative error of the scores (RMS) when only it is quantised."""

    layer: str
    error: float


@dataclass(frozen=True, slots=True)
class Found:
    """A file within the budget: the layers left in float, and its outcome."""

    data: bytes
    float_layers: tuple[str, ...]
    outcome: Outcome


def search(job: Job, ranges: Ranges) -> Found:
    """The first file within the budget, reporting each attempt. Raises BudgetError if none is."""
    trial = job.begin()
    data = quantise(job.data, ranges)
    outcome = job.attempt(trial, data, f"int8, all {len(layers_of(job.data))} layers")
    if outcome.within(job.budget):
        return Found(data, (), outcome)
    order = rank(job, ranges)
    tell_ranking(job, order)
    for count in range(1, len(order)):
        kept = tuple(loss.layer for loss in order[:count])
        data = quantise(job.data, ranges, kept)
        outcome = job.attempt(trial, data, f"with {kept[-1]} ({job.line_of(kept[-1])}) in float")
        if outcome.within(job.budget):
            job.watch.say(
                f"the number of float layers was chosen on these {job.known.name} pictures, so their loss is biased"
            )
            return Found(data, kept, outcome)
    raise job.exceeded(
        f"int8 loses {outcome.drop:.2f} points even with {len(order) - 1} of {len(order)} layers in float"
    )


def rank(job: Job, ranges: Ranges) -> list[Loss]:
    """Every layer of the float32 file, the most sensitive first."""
    split = sample(job.known.calibration, RANKED_ON, SEED)
    layers = layers_of(job.data)
    progress = job.watch.progress("ranking layers", len(split) * (len(layers) + 1))

    def scores(data: bytes) -> Scores:
        return scores_of(open_session(data, "cpu"), job.model, split, progress)

    wanted = scores(job.data)
    alone = {layer: quantise(job.data, ranges, [other for other in layers if other != layer]) for layer in layers}
    found = [Loss(layer, relative_error(scores(data), wanted)) for layer, data in alone.items()]
    return sorted(found, key=lambda loss: -loss.error)


def relative_error(got: Scores, wanted: Scores) -> float:
    """The root mean square of the difference, relative to that of the expected values."""
    difference, size = (float(np.sqrt(np.mean(np.square(x)))) for x in (got.astype(np.float64) - wanted, wanted))
    return difference / size if size else difference


def tell_ranking(job: Job, order: list[Loss]) -> None:
    """Each layer with its error and its line."""
    job.watch.say(
        f"that exceeds the budget; the error of the scores with only one layer in int8 (at most {RANKED_ON} pictures):"
    )
    for loss in order:
        job.watch.say(f"  {loss.error:8.2%}  {loss.layer}  {job.line_of(loss.layer)}")
