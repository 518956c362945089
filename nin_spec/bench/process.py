"""A worker's process as seen from the one that measures: started, asked, waited for with patience, ended."""

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
"""Seconds that a process may take to be gone when it was killed, and when its output is closed."""


class WorkerError(Exception):
    """A worker died, or didn't answer in time. `stderr` is the end of what it said."""

    def __init__(self, reason: str, stderr: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stderr = stderr


class WorkerProcess:
    """One worker. Use as a context manager: whatever happens, its process ends."""

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
                # Its own group: an interrupt reaches this process alone, which then ends the group whole.
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
        """Hand over each answer; None at the end. A thread, as pipes can't be waited on everywhere."""
        if self.process.stdout:
            with self.process.stdout as lines:
                for line in lines:
                    self.answers.put(line)
        self.answers.put(None)

    def ask(self, deed: str, patience: float, **what: Any) -> dict[str, Any]:
        """Have something done, and return the answer.

        Raises:
            WorkerError: the worker died, or took more than `patience` seconds; it is ended then.
            NinSpecError: the worker says that it can't be done here, and why.
        """
        try:
            if self.process.stdin:
                self.process.stdin.write(json.dumps({"do": deed, **what}) + "\n")
                self.process.stdin.flush()
            line = self.answers.get(timeout=patience)
        except queue.Empty:
            self.stop()
            raise WorkerError(f"no answer within {patience:g} s; it was ended", self._said()) from None
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
        return f"it ended with status {code}"

    def _said(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-_TAIL:])

    def stop(self) -> None:
        """End the process, and those that it started."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(_GRACE)
        with contextlib.suppress(OSError):  # what was not yet sent has nobody to go to
            if self.process.stdin:
                self.process.stdin.close()
        # Not longer: what left the group may hold the pipe open for ever.
        self.listener.join(_LINGER)


def environment(folder: Path, threads: int) -> dict[str, str]:
    """This process's, with every library's threads said, and what torch.compile makes kept in the folder."""
    count = str(threads)
    return children.environment(
        OMP_NUM_THREADS=count,
        MKL_NUM_THREADS=count,
        OPENBLAS_NUM_THREADS=count,
        TORCHINDUCTOR_CACHE_DIR=str(folder / "inductor"),
        # More would be processes that live on beside the measurement.
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
    """The error that a worker met, made again here."""
    found = [Diagnostic(Code[code], message, hint=hint) for code, message, hint in answer["diagnostics"]]
    return _ERRORS.get(answer["refused"], NinSpecError)(found)
