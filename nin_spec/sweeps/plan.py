"""What a sweep will cost: a look at its space, and the speed of a short training here."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from nin_spec.diagnostics import SpecError
from nin_spec.language import load as language
from nin_spec.language.family import override
from nin_spec.network import compile as compile_network
from nin_spec.sweeps.axes import choose
from nin_spec.sweeps.candidates import Candidate, Probe, candidate, over_limits, probe
from nin_spec.sweeps.load import Sweep

_STEPS = 16
"""Of the training that is timed."""


@dataclass(frozen=True)
class Plan:
    """A look at a sweep's space, and its cost. `mac_epochs` are MACs times pictures times epochs, of all trainings."""

    probe: Probe
    size: float
    trainings: int
    images: int
    mac_epochs: float
    macs_per_second: float
    workers: int

    @property
    def seconds(self) -> float:
        """How long all trainings take here, backward passes included; `workers` of them run at a time."""
        return self.mac_epochs / self.macs_per_second / self.workers

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        look = self.probe
        return {
            "combinations": None if self.size == float("inf") else int(self.size),
            "drawn": look.drawn,
            "invalid": look.invalid,
            "over_a_limit": look.outside,
            "fitting": look.fitting,
            "distinct_functions": look.functions,
            "distinct_trainings": look.distinct,
            "trainings": self.trainings,
            "train_images": self.images,
            "mac_epochs": self.mac_epochs,
            "seconds": self.seconds,
        }


def plan(  # noqa: PLR0913 keywords
    sweep: Sweep, *, trials: int | None, workers: int, data: str | None, limit: int | None, threads: int
) -> Plan:
    """Look at the space and time a short training. Raises SweepError if nothing fits, DataError without the data."""
    from nin_spec.training.sets import beside, open_sets

    look = probe(sweep)
    typical = _typical(sweep, statistics.median(look.macs))
    place = beside(typical.network) if data is None else Path(data)
    images = open_sets(typical.network, place, limit).record.train_images
    trainings = (trials or sweep.file.trials) * sweep.file.seeds
    cost = statistics.fmean(look.macs) * images * trainings
    return Plan(look, sweep.size, trainings, images, cost, _speed(typical, place, threads), workers)


def _typical(sweep: Sweep, cost: float) -> Candidate:
    """The one of a few random candidates whose cost is nearest to a typical one."""
    rng = Random(sweep.file.seed)  # noqa: S311 not for secrets
    found: list[tuple[float, Candidate]] = []
    while len(found) < 8:
        try:
            drawn = candidate(sweep, choose(sweep.axes, lambda axis: axis.draw(rng)))
        except SpecError:
            continue
        recipe = drawn.network.spec.spec.train
        if recipe is not None and not over_limits(sweep.limits, drawn.facts):
            found.append((abs(drawn.facts["macs"] * recipe.epochs - cost), drawn))
    return min(found, key=lambda pair: pair[0])[1]


def _speed(typical: Candidate, place: Path | None, threads: int) -> float:
    """MACs of forward passes per second while one candidate trains, from a few steps."""
    from nin_spec.training.begin import train
    from nin_spec.training.folder import read_rows
    from nin_spec.training.settings import TrainSettings

    network = compile_network(language.complete(override(typical.tree, "train.epochs=2")))
    recipe = network.spec.spec.train
    assert recipe is not None  # noqa: S101 candidates have one
    pictures = max(recipe.batch_size * _STEPS, 10 * network.card.classes)
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings(threads=threads, limit=pictures, charts=False)
        run = train(network, data=place, output=Path(folder) / "run", settings=settings)
        rows = read_rows(run.path / "timings.csv")
    return float(rows[-1]["images_per_second"]) * typical.facts["macs"]
