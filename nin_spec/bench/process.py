"""The parent's side of a worker process: start, requests with a timeout, end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from nin_spec import children, diagnostics
from nin_spec.diagnostics import Code, Diagnostic, NinSpecError

COMMAND = children.python("-X", "faulthandler", "-m", "nin_spec.bench.worker")
_TAIL = 12
_GRACE, _LINGER = 30, 2
"""Seconds for a process to end after it was killed, or after its output closed."""


class WorkerError(Exception):
    """A worker died, or didn't respond in time. `stderr` is the end of its output."""

    def __init__(self, reason: str, stderr: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stderr = stderr


class WorkerProcess:
    """One worker. A context manager that always ends the process."""

    def __init__(self, folder: Path, threads: int, command: tuple[str, ...] = COMMAND) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "stderr.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 this interpreter, and our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(folder, threads),
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

    def ask(self, deed: str, patience: float, **what: Any) -> dict[str, Any]:
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
        answer: dict[str, Any] = json.loads(line)
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


def environment(folder: Path, threads: int) -> dict[str, str]:
    """This process's environment, with every library's number of threads, and torch.compile's cache in the folder."""
    count = str(threads)
    return children.environment(
        OMP_NUM_THREADS=count,
        MKL_NUM_THREADS=count,
        OPENBLAS_NUM_THREADS=count,
        TORCHINDUCTOR_CACHE_DIR=str(folder / "inductor"),
        # More would be processes that keep running during the measurement.
        TORCHINDUCTOR_COMPILE_THREADS="1",
    )


_ERRORS: Mapping[str, type[NinSpecError]] = {
    error.__name__: error
    for error in (
        diagnostics.SpecError,
        diagnostics.WeightsError,
        diagnostics.ExportError,
        diagnostics.InputError,
        diagnostics.DeviceError,
        diagnostics.ParityError,
    )
}


def refusal(answer: Mapping[str, Any]) -> NinSpecError:
    """The error that a worker reported."""
    found = [Diagnostic(Code[code], message, hint=hint) for code, message, hint in answer["diagnostics"]]
    return _ERRORS.get(answer["refused"], NinSpecError)(found)
