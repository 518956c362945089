"""The main process of a sweep: creates the study, starts workers, and replaces those that die."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec import children
from nin_spec.diagnostics import Code, SweepError
from nin_spec.processes import WorkerError, WorkerProcess, command_of
from nin_spec.sweeps.folder import Record
from nin_spec.sweeps.load import Sweep
from nin_spec.sweeps.results import SweepResult, of_study
from nin_spec.sweeps.store import learned, reap, training_elsewhere

if TYPE_CHECKING:
    from optuna import Study

_FOREVER = 1e8
"""Seconds: a training may take any time."""
_DEATHS = 3
"""Deaths of a worker in a row after which the sweep stops."""
_POLL = 0.2


@dataclass(frozen=True)
class Asked:
    """How a sweep is run. `report` is called after each candidate, with the seconds left; `log` with what went wrong.

    Both are called in threads. `stop` is polled: each worker then finishes its step.
    """

    workers: int
    trials: int
    threads: int
    report: Callable[[SweepResult, float | None], None]
    log: Callable[[str], None]
    stop: Callable[[], bool]


@dataclass
class Manager:
    """Runs a sweep until enough candidates are trained, in a folder that this process holds alone."""

    folder: Path
    record: Record
    sweep: Sweep
    study: Study
    asked: Asked
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _busy: int = 0
    _over: bool = False
    _error: BaseException | None = None
    _running: list[WorkerProcess] = field(default_factory=list)
    _deaths: dict[int, int] = field(default_factory=dict)

    def run(self) -> SweepResult:
        """Train. Raises SweepError, and the error of a training that is not the fault of one candidate."""
        self.begun, self.before = time.monotonic(), learned(self.study.get_trials(deepcopy=False))
        reap(self.study, self.folder, self.record)
        left = sum(trial.state.name == "WAITING" for trial in self.study.get_trials(deepcopy=False))
        if left:
            self.asked.log(f"{left} interrupted {'candidate resumes' if left == 1 else 'candidates resume'}")
        threads = [
            threading.Thread(target=self._lane, args=(index,), daemon=True) for index in range(self.asked.workers)
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                if self.asked.stop() and not self._over:
                    self._halt()
                threads[0].join(_POLL)
                time.sleep(0 if threads[0].is_alive() else _POLL)
        finally:
            for worker in list(self._running):
                worker.stop()
        reap(self.study, self.folder, self.record)
        if self._error is not None:
            raise self._error
        return self.result()

    def result(self) -> SweepResult:
        """What there is now."""
        return of_study(self.folder, self.record, self.sweep, self.study)

    # ------------------------------------------------------------------ one worker

    def _lane(self, index: int) -> None:
        """Keep one worker busy, in a thread of its own."""
        try:
            while self._take():
                try:
                    self._work(index)
                except WorkerError as error:
                    self._bury(index, error)
        except BaseException as error:  # noqa: BLE001 raised again by the main thread
            with self._lock:
                self._error = self._error or error
            self._halt()

    def _work(self, index: int) -> None:
        """Send requests to a new worker while there is work: one is reserved already. Raises WorkerError."""
        log = self.folder / "locks" / f"worker-{index}"
        threads = str(self.asked.threads)
        held = True
        with WorkerProcess(
            command_of("nin_spec.sweeps.worker"), log, children.environment(OMP_NUM_THREADS=threads)
        ) as worker:
            self._running.append(worker)
            try:
                worker.ask("open", _FOREVER, folder=str(self.folder), index=index, threads=self.asked.threads)
                while held or self._take():
                    held = False
                    outcome = str(worker.ask("learn", _FOREVER)["outcome"])
                    self._give_back()
                    if outcome in {"stopped", "exhausted"}:
                        self._end(outcome)
                        break
                    self._deaths[index] = 0
                    self._tell()
            finally:
                self._running.remove(worker)

    def _take(self) -> bool:
        """Reserve one of the candidates that are still to be trained."""
        with self._lock:
            trials = self.study.get_trials(deepcopy=False)
            done = learned(trials) + training_elsewhere(trials, self.record)
            limit = _seconds(self.sweep.file.time_limit)
            late = limit is not None and time.monotonic() - self.begun > limit
            if self._over or late or done + self._busy >= self.asked.trials:
                return False
            self._busy += 1
            return True

    def _give_back(self) -> None:
        with self._lock:
            self._busy -= 1

    def _bury(self, index: int, error: WorkerError) -> None:
        """Queue the trial of a worker that died. Raises SweepError if workers keep dying."""
        self._give_back()
        if self._over:
            return
        deaths = self._deaths[index] = self._deaths.get(index, 0) + 1
        with self._lock:
            reap(self.study, self.folder, self.record)
        if deaths >= _DEATHS:
            said = error.stderr.strip().splitlines()
            message = f"worker {index} ended {deaths} times in a row: {error.reason}"
            raise SweepError(Code.SWEEP_UNUSABLE, message, hint=said[-1] if said else None)
        self.asked.log(f"worker {index} ended ({error.reason}); its candidate resumes")

    def _end(self, outcome: str) -> None:
        if outcome == "exhausted" and not self._over:
            self._over = True
            self.asked.log("nothing is left to try: the last candidates were all refused or known")

    def _halt(self) -> None:
        """Let each worker finish its step and keep a checkpoint."""
        self._over = True
        for worker in list(self._running):
            if worker.process.poll() is None:
                os.kill(worker.process.pid, signal.SIGTERM)

    def _tell(self) -> None:
        with self._lock:
            result = self.result()
            done = len([t for t in result.trials if t.outcome in {"trained", "pruned", "diverged"}])
            new = done - self.before
            pace = (time.monotonic() - self.begun) / new if new else None
            self.asked.report(result, None if pace is None else pace * max(0, self.asked.trials - done))


def _seconds(limit: str | None) -> float | None:
    if limit is None:
        return None
    number, unit = limit.split()
    return float(number) * {"s": 1, "min": 60, "h": 3600}[unit]
