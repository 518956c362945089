"""A worker process of a sweep: trains one candidate after the other, until its parent sends no more requests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from nin_spec.processes import Message, respond
from nin_spec.sweeps.folder import open_sweep
from nin_spec.sweeps.store import is_judged, opened, optuna, sampler_of
from nin_spec.sweeps.trial import Interrupted, Refused, Trainer
from nin_spec.training.settings import TrainSettings

STUCK = 20
"""Refused candidates in a row after which the next are drawn at random."""
EXHAUSTED = 300
"""Refused candidates in a row after which a sweep has nothing left to try."""


class Worker:
    """What a request does."""

    def __init__(self) -> None:
        self.parent, self.asked = os.getppid(), False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        self.asked = True

    def stopped(self) -> bool:
        """Whether the parent has asked to stop, or is gone. Asked after each step: the run keeps a checkpoint."""
        return self.asked or os.getppid() != self.parent

    def open(self, folder: str, index: int, threads: int) -> Message:
        """Open the sweep folder."""
        record, self.sweep = open_sweep(Path(folder))
        self.index = index
        self.study = opened(Path(folder), record, self.sweep)
        settings = TrainSettings(record.device, threads=threads, limit=record.limit, charts=False)
        self.trainer = Trainer(Path(folder), record, self.sweep, self.study, settings, self.stopped)
        return {}

    def learn(self) -> Message:
        """Ask for candidates until one was trained, and respond how that ended."""
        refused = 0
        while refused < EXHAUSTED and not self.stopped():
            trials = self.study.get_trials(deepcopy=False)
            judged = sum(map(is_judged, trials))
            waiting = any(trial.state.name == "WAITING" for trial in trials)
            if self.sweep.file.sampler == "grid" and not waiting and judged >= self.sweep.size:
                break
            self.study.sampler = sampler_of(self.sweep, judged, self.index, stuck=refused >= STUCK)
            self.study.optimize(self.trainer, n_trials=1, catch=(Refused, Interrupted))
            outcome = self.trainer.outcome
            if outcome in {"trained", "pruned", "diverged"}:
                return {"outcome": outcome}
            refused += outcome is not None
        return {"outcome": "stopped" if self.stopped() else "exhausted"}


def main() -> None:
    """Respond to requests until the end of the input."""
    worker = Worker()
    optuna()
    respond({"open": worker.open, "learn": worker.learn})


if __name__ == "__main__":
    main()
