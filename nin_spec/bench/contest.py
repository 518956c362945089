"""The contest: opens contenders, checks that they compute the same, and measures them in turns, one at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.bench.contenders import Contender, Entry
from nin_spec.bench.machine import busy_remark, machine_facts
from nin_spec.bench.process import start
from nin_spec.bench.results import ON_THE_PROCESSOR, Failure, Measurements, Opened, Result, Settings
from nin_spec.bench.sameness import Judge
from nin_spec.bench.schedule import SETTLE, Forecast, Step, schedule
from nin_spec.bench.subjects import BenchSubject, refuse_misfits
from nin_spec.diagnostics import InputError, NinSpecError
from nin_spec.processes import WorkerError, WorkerProcess

Progress = Callable[[str, float | None], None]
"""Called with what starts, and the estimated seconds left if known."""

PEAK = Contender("peak", "the best matrix product of this machine", "peak", "file")

_RESTLESS = 0.05


class Contest:
    """One subject and its contenders; the others are compared with the first.

    `run` measures, and may be interrupted; `result` returns what has been measured so far. `machine` is the result of
    machine_facts from before the first of several contests, since contests themselves load the machine.
    """

    def __init__(
        self,
        subject: BenchSubject,
        entries: Sequence[Entry],
        settings: Settings,
        progress: Progress | None = None,
        machine: dict[str, Any] | None = None,
    ) -> None:
        self.subject, self.entries, self.settings = subject, list(entries), settings
        self.progress = progress or (lambda *_: None)
        self.measured = Measurements(self.entries[0].label)
        self.failures: list[Failure] = []
        self.remarks: list[str] = []
        self.complete = False
        self.machine = machine or machine_facts()
        self._workers: dict[str, WorkerProcess] = {}
        self._judge = Judge()
        self._out: set[tuple[str, int]] = set()
        self._devices: dict[str, str] = {}
        self._idle: dict[str, tuple[float, float]] = {}
        self._since: dict[str, float] = {}

    def run(self) -> None:
        """Measure everything.

        Raises:
            NinSpecError: a contender that is not available, before anything is measured.
            KeyboardInterrupt: it was interrupted; the workers have ended.
        """
        self._leave_out_absent()
        refuse_misfits(self.subject, self.entries, self.settings.batches)
        if busy := busy_remark(self.machine):
            self.remarks.append(busy)
        with tempfile.TemporaryDirectory(prefix="nin-spec-bench-") as name, ExitStack() as stack:
            folder = Path(name)
            self.subject.lay_out(folder, self.settings.batches)
            for entry in self.entries:
                self._open(entry, folder, stack)
            if self.settings.peaks:
                self._open_peaks(folder, stack)
            self._follow(folder)
        self._tell_restless()
        self.complete = True

    def result(self) -> Result:
        """The result so far."""
        subject, settings = self.subject, self.settings
        return Result(
            name=subject.name,
            hash=subject.hash,
            shape=subject.shape,
            macs=subject.macs,
            machine=self.machine,
            settings=settings,
            contenders=tuple(self.measured.opened),
            peaks=self.measured.peaks(),
            lines=tuple(self.measured.lines(settings.batches, subject.macs)),
            failures=tuple(self.failures),
            remarks=tuple(self.remarks),
            complete=self.complete,
        )

    # -------------------------------------------------------------- opening

    def _leave_out_absent(self) -> None:
        absent = {entry.contender.absent() for entry in self.entries} - {""}
        self.remarks += sorted(absent)
        self.entries = [entry for entry in self.entries if not entry.contender.absent()]

    def _open(self, entry: Entry, folder: Path, stack: ExitStack) -> None:
        """Start a contender's worker. If it dies or does not respond, it is dropped; the others continue."""
        settings = self.settings
        self.progress(f"opening {entry.label}", None)
        # The peers run on the device that "auto" chose.
        device = entry.device if entry.contender.is_ours else self._devices.get(entry.device, entry.device)
        job = self.subject.job(entry, folder, device, settings.threads).as_dict()
        place = folder / f"worker-{len(self._workers)}-{len(self.failures)}"
        try:
            if entry.contender.source == "peer file" and not Path(job["file"]).exists():
                with start(place / "before", settings.threads) as before:
                    before.ask("prepare", settings.patience, job=job)
            worker = stack.enter_context(start(place, settings.threads))
            answer = worker.ask("open", settings.patience, job=job)
        except WorkerError as error:
            self.failures.append(Failure(entry.label, None, error.reason, error.stderr))
            return
        except NinSpecError as error:
            if not entry.spare:
                raise
            self.remarks.append(f"{entry.label} is left out: {error.diagnostics[0].message}")
            return
        self._workers[entry.label] = worker
        self._since[entry.label] = time.perf_counter()
        facts = answer["facts"]
        self.remarks += [f"{entry.label}: {remark}" for remark in facts.pop("remarks", ())]
        if entry.contender.is_ours:
            self._devices.setdefault(entry.device, facts["device"])
        opened = Opened(
            entry.label,
            entry.contender.title,
            facts,
            answer["seconds"],
            answer["torch"],
            is_peak=entry.contender is PEAK,
            is_ours=entry.contender.is_ours,
        )
        self.measured.opened.append(opened)

    def _open_peaks(self, folder: Path, stack: ExitStack) -> None:
        """A peak for each precision in which a contender computes on the CPU."""
        found = [o.facts["precision"] for o in self.measured.opened if o.facts["device"] in ON_THE_PROCESSOR]
        for precision in dict.fromkeys(found):
            entry = Entry(f"peak {precision}", PEAK, precision=precision)
            try:
                self._open(entry, folder, stack)
            except InputError as error:
                self.remarks.append(error.diagnostics[0].message)
            else:
                self.entries.append(entry)

    # -------------------------------------------------------------- measuring

    def _follow(self, folder: Path) -> None:
        settings = self.settings
        here = [(e.label, e.only) for e in self.entries if e.label in self._workers]
        steps = schedule(here, settings.batches, settings.turns)
        forecast = Forecast(settings.seconds)
        for number, step in enumerate(steps):
            if step.label not in self._workers or (step.label, step.batch) in self._out:
                continue
            self._announce(step, forecast.left(self._remaining(steps[number:])))
            begun = time.perf_counter()
            self._take(step, folder)
            forecast.learn(step, time.perf_counter() - begun)

    def _remaining(self, steps: Sequence[Step]) -> list[Step]:
        return [s for s in steps if s.label in self._workers and (s.label, s.batch) not in self._out]

    def _announce(self, step: Step, left: float) -> None:
        doing = "getting ready" if step.kind == "ready" else f"turn {step.turn + 1} of {self.settings.turns}"
        self.progress(f"batch {step.batch}, {doing}: {step.label}", left)

    def _take(self, step: Step, folder: Path) -> None:
        """One step. A failure of a contender is recorded, and drops it from the contest."""
        time.sleep(SETTLE)
        try:
            if step.kind == "ready":
                self._make_ready(step, folder)
            else:
                answer = self._ask(step.label, "turn", seconds=self.settings.seconds)
                runs = [nanoseconds / 1e9 for nanoseconds in answer["runs"]]
                self.measured.turns.setdefault((step.label, step.batch), []).append(runs)
        except WorkerError as error:
            self.failures.append(Failure(step.label, step.batch, error.reason, error.stderr))
            self._workers.pop(step.label).stop()
        except NinSpecError as error:
            self._leave_out(step, error.diagnostics[0].message)

    def _make_ready(self, step: Step, folder: Path) -> None:
        """Compute the batch once, and compare the result with the first contender's."""
        place = folder / f"scores-{step.batch}.npy"
        inputs = str(folder / f"inputs-{step.batch}.npy")
        answer = self._ask(step.label, "ready", inputs=inputs, scores=str(place), seconds=self.settings.seconds / 2)
        self.measured.first[step.label, step.batch] = answer["first"]
        if not answer["scores"]:
            return
        scores = np.load(place, allow_pickle=False)
        objection = self._judge.objection(step.label, step.batch, self._precision(step.label), scores)
        if objection:
            self._leave_out(step, objection)

    def _leave_out(self, step: Step, reason: str) -> None:
        self.failures.append(Failure(step.label, step.batch, reason))
        self._out.add((step.label, step.batch))

    def _precision(self, label: str) -> str:
        return str(next(o.facts["precision"] for o in self.measured.opened if o.label == label))

    def _ask(self, label: str, deed: str, **what: Any) -> dict[str, Any]:
        """A worker's response; CPU time that the worker used while idle is recorded."""
        waited = time.perf_counter() - self._since[label]
        answer = self._workers[label].ask(deed, self.settings.patience, **what)
        self._since[label] = time.perf_counter()
        busy, before = self._idle.get(label, (0.0, 0.0))
        self._idle[label] = (busy + answer["idle"], before + waited)
        return answer

    def _tell_restless(self) -> None:
        for label, (busy, waited) in self._idle.items():
            if busy > _RESTLESS * max(waited, 1.0):
                share = busy / waited
                self.remarks.append(f"{label} used {share:.0%} of a core while others were measured")
