"""The best candidate trained again with other seeds: the best of many flatters itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_spec.named import is_run
from nin_spec.sweeps.candidates import trained_candidate
from nin_spec.sweeps.folder import alone
from nin_spec.sweeps.results import SweepResult
from nin_spec.sweeps.rows import SweepTrial


@dataclass(frozen=True)
class Confirmation:
    """Validation accuracies of one candidate under several seeds, none of them that of the search."""

    trial: int
    accuracies: tuple[float, ...]
    folders: tuple[Path, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.accuracies)

    @property
    def spread(self) -> float:
        """Their standard deviation; 0 for one."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "trial": self.trial,
            "validation_accuracy": {"mean": self.mean, "deviation": self.spread, "each": list(self.accuracies)},
            "folders": [str(folder) for folder in self.folders],
        }


def confirm(  # noqa: PLR0913 keywords
    result: SweepResult,
    trial: SweepTrial,
    seeds: int,
    *,
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int, float], None] = lambda _seed, _accuracy: None,
) -> Confirmation | None:
    """Train a trial's network with `seeds` other seeds, into confirm/ of the sweep folder; again: resume.

    Returns None if it was asked to stop.
    """
    from nin_spec.sweeps.trial import metrics_of, with_seed
    from nin_spec.training import begin
    from nin_spec.training.folder import open_run
    from nin_spec.training.settings import TrainSettings

    found = trained_candidate(result.sweep, trial)
    data = None if result.record.data is None else Path(result.record.data)
    settings = TrainSettings(result.record.device, threads=threads, charts=False, limit=result.record.limit)
    accuracies, folders = [], []
    with alone(result.folder):
        for k in range(1, seeds + 1):
            seed = result.sweep.file.seeds - 1 + k
            target = result.folder / "confirm" / f"{trial.number:04}-{seed}"
            if not is_run(target):
                run = begin.train(with_seed(found, seed), data=data, output=target, settings=settings, stop=stop)
            elif (run := open_run(target)).record.status != "finished":
                run = begin.resume(target, data=data, stop=stop)
            if run.record.status != "finished":
                return None
            accuracies.append(metrics_of(run)["validation_accuracy"])
            folders.append(target)
            report(seed, accuracies[-1])
    return Confirmation(trial.number, tuple(accuracies), tuple(folders))
