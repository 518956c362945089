"""Worker processes: the parent sends requests, each with a timeout, and the worker responds, a line of JSON each.

A worker that crashes or hangs is a WorkerError, and never ends the parent. It exits at the end of its input, so none
outlives a parent that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from nin_spec import children, diagnostics
from nin_spec.diagnostics import Code, Diagnostic, NinSpecError

Message = dict[str, Any]
Deeds = Mapping[str, Callable[..., Message]]
"""What a worker does, by the name of the request; arguments and result are plain data."""

_TAIL = 12
_GRACE, _LINGER = 30, 2
"""Seconds for a process to end after it was killed, or after its output closed."""


class WorkerError(Exception):
    """A worker died, or didn't respond in time. `stderr` is the end of its output."""

    def __init__(self, reason: str, stderr: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stderr = stderr


def command_of(module: str) -> tuple[str, ...]:
    """The command that starts a module as a worker: it calls `respond`. A crash leaves a traceback in its log."""
    return children.python("-X", "faulthandler", "-m", module)


class WorkerProcess:
    """One worker, with its log in a folder. A context manager that always ends the process."""

    def __init__(self, command: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "stderr.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 this interpreter, and our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                # A separate process group: an interrupt reaches only this process, which then ends the group.
                start_new_session=True,
            )
        self.answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> None:
        """Queue each response, then None. In a thread, as not every platform can wait on pipes."""
        if self.process.stdout:
            with self.process.stdout as lines:
                for line in lines:
                    self.answers.put(line)
        self.answers.put(None)

    def ask(self, deed: str, patience: float, **what: Any) -> Message:
        """Send a request, and return the response.

        Raises:
            WorkerError: the worker died, or took more than `patience` seconds and was ended.
            NinSpecError: the worker reports why the request is not possible.
        """
        try:
            if self.process.stdin:
                self.process.stdin.write(json.dumps({"do": deed, **what}) + "\n")
                self.process.stdin.flush()
            line = self.answers.get(timeout=patience)
        except queue.Empty:
            self.stop()
            raise WorkerError(f"no response within {patience:g} s; it was ended", self._said()) from None
        except OSError:
            line = None
        if line is None:
            raise WorkerError(self._death(), self._said())
        answer: Message = json.loads(line)
        if "refused" in answer:
            raise refusal(answer)
        return answer

    def _death(self) -> str:
        try:
            code = self.process.wait(_LINGER)
        except subprocess.TimeoutExpired:
            self.stop()
            return "it closed its output, and was ended"
        if code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it exited with status {code}"

    def _said(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-_TAIL:])

    def stop(self) -> None:
        """Kill the process and its children."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(_GRACE)
        with contextlib.suppress(OSError):  # unsent data has no receiver
            if self.process.stdin:
                self.process.stdin.close()
        # Limited: a process that left the group may keep the pipe open forever.
        self.listener.join(_LINGER)


# ------------------------------------------------------------------ what a worker reports


_ERRORS: Mapping[str, type[NinSpecError]] = {
    error.__name__: error
    for error in (
        diagnostics.SpecError,
        diagnostics.WeightsError,
        diagnostics.ExportError,
        diagnostics.InputError,
        diagnostics.DeviceError,
        diagnostics.ParityError,
        diagnostics.DataError,
        diagnostics.TrainingError,
        diagnostics.SweepError,
    )
}


def refusal(answer: Message) -> NinSpecError:
    """The error that a worker reported."""
    found = [Diagnostic(Code[code], message, hint=hint) for code, message, hint in answer["diagnostics"]]
    return _ERRORS.get(answer["refused"], NinSpecError)(found)


# ------------------------------------------------------------------ the worker's side


def answer(deeds: Deeds, message: Message) -> Message:
    """The response to a request, or its diagnostics."""
    deed = deeds[message.pop("do")]
    try:
        return deed(**message)
    except NinSpecError as error:
        found = [[d.code.name, d.message, d.hint] for d in error.diagnostics]
        return {"refused": type(error).__name__, "diagnostics": found}


def respond(deeds: Deeds) -> None:
    """Respond to requests until the end of the input. `idle` is the CPU time in seconds spent since the last one."""
    # Output of libraries must not mix with the responses.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    before = time.process_time()
    for line in sys.stdin:
        idle = time.process_time() - before
        reply = answer(deeds, json.loads(line))
        print(json.dumps(reply | {"idle": idle}), file=answers, flush=True)
        before = time.process_time()
