"""A conformance run: workers take the cases one at a time, and the verdicts come as they are reached."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from nin_spec import children
from nin_spec.conformance.cases import Case
from nin_spec.conformance.place import Place
from nin_spec.conformance.verdict import Outcome, Verdict
from nin_spec.diagnostics import Code, DeviceError
from nin_spec.processes import Message, WorkerError, WorkerProcess, command_of

COMMAND = command_of("nin_spec.conformance.worker")
PATIENCE = 300.0
"""Seconds that a case may take: a software GPU compiles each new kernel for a second."""
_OPENING = 600.0


class _ClosedError(Exception):
    """The run was closed while a case was tried."""


class Lane:
    """One worker at a time; the next one is started after a crash or a timeout."""

    def __init__(self, place: Place, folder: Path, patience: float, command: tuple[str, ...]) -> None:
        self.place, self.folder, self.patience, self.command = place, folder, patience, command
        self.worker: WorkerProcess | None = None
        self.started = 0
        self.closed = False

    def open(self) -> Message:
        """Start a worker on the device, and return its response. Raises DeviceError if the device can't be used."""
        return self._opened()[1]

    def _opened(self) -> tuple[WorkerProcess, Message]:
        if self.closed:
            raise _ClosedError
        count = str(self.place.threads)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
        self.started += 1
        folder = self.folder / str(self.started)
        worker = self.worker = WorkerProcess(self.command, folder, children.environment(**threads))
        try:
            return worker, worker.ask("open", _OPENING, **asdict(self.place))
        except WorkerError as error:
            message = f"{self.place.device} can't run here: its process failed: {error.reason}"
            raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=_last_line(error)) from error

    def verdict(self, case: Case) -> Verdict:
        """The verdict on a case. After a crash it is tried again, alone in a new process."""
        try:
            return self._ask(case)
        except WorkerError as error:
            first = error
        try:
            self._ask(case)
        except WorkerError as error:
            return Verdict(Outcome.WRONG, None, _reason(error))
        return Verdict(Outcome.WRONG, None, f"{_reason(first)}, after other cases; alone it is exact")

    def _ask(self, case: Case) -> Verdict:
        worker = self.worker or self._opened()[0]
        try:
            return Verdict.from_dict(worker.ask("prove", self.patience, case=asdict(case)))
        except WorkerError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.stop()
        self.worker = None


def _reason(error: WorkerError) -> str:
    last = _last_line(error)
    return f"the process failed: {error.reason}" + (f" ({last})" if last else "")


def _last_line(error: WorkerError) -> str | None:
    """The last thing that a worker printed."""
    return error.stderr.strip().rpartition("\n")[2] or None


class Run:
    """Workers on a device, `lanes` at a time. A context manager that always ends them.

    `facts` waits for the first to open the device, `prove` gives them cases.
    """

    def __init__(
        self, place: Place, lanes: int = 1, patience: float = PATIENCE, command: tuple[str, ...] | None = None
    ) -> None:
        self.place = place
        self._count, self._patience, self._command = lanes, patience, command or COMMAND
        self._stack = ExitStack()
        self._lanes: list[Lane] = []
        self._todo: queue.SimpleQueue[Case | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nin-spec-prove-")))
        for k in range(self._count):
            lane = Lane(self.place, folder / str(k), self._patience, self._command)
            self._lanes.append(lane)
            thread = threading.Thread(target=self._work, args=(lane,), daemon=True)
            thread.start()
            self._stack.callback(thread.join)
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.closed = True
            self._todo.put(None)
        for lane in self._lanes:
            lane.stop()
        self._stack.close()

    def _work(self, lane: Lane) -> None:
        try:
            self._events.put(lane.open())
            while (case := self._todo.get()) is not None:
                self._events.put((case, lane.verdict(case)))
        except BaseException as error:  # noqa: BLE001 raised again by the thread that waits
            self._events.put(error)
        finally:
            lane.stop()

    def facts(self) -> tuple[dict[str, Any], list[str]]:
        """The device's facts, and the precisions to prove. Raises DeviceError if it can't be used here."""
        found = self._next()
        return found["facts"], found["precisions"]

    def prove(self, cases: Sequence[Case], done: Callable[[Case, Verdict], None]) -> None:
        """Call `done` with each case and its verdict, in the order in which they come. Raises DeviceError."""
        for case in cases:
            self._todo.put(case)
        left = len(cases)
        while left:
            match self._next():
                case (Case() as case, Verdict() as verdict):
                    done(case, verdict)
                    left -= 1
                case _:  # another worker has opened the device
                    continue

    def _next(self) -> Any:
        found = self._events.get()
        if isinstance(found, BaseException):
            raise found
        return found
