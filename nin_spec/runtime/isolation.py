"""A file that is not plain is opened first by a process of its own, which onnxruntime may end.

See `plain_files.py`. The process is `isolated_process.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from nin_spec import children
from nin_spec.diagnostics import InputError
from nin_spec.processes import WorkerError, WorkerProcess, command_of
from nin_spec.runtime.creation import File
from nin_spec.runtime.failures import unreadable

COMMAND = command_of("nin_spec.runtime.isolated_process")
_GRACE = 60.0
"""Seconds that the process may take beside the opening: its imports, and the check of what it opened."""
_ORIGIN = "networks of this language do not: check the origin of the file"


def try_opening(file: File, threads: int, seconds: float, memory: int) -> InputError | None:
    """Open a file on the CPU in another process, within limits. Returns why the CPU can't run it, if so.

    Raises InputError if onnxruntime ends the process, or could do so for some picture.
    """
    limits = {"threads": threads, "seconds": seconds, "memory": memory}
    with tempfile.TemporaryDirectory(prefix="nin-spec-") as folder:
        path = file.source if isinstance(file.source, str) else _written(Path(folder, "model.onnx"), file.source)
        try:
            with WorkerProcess(COMMAND, Path(folder), children.environment()) as worker:
                refused = _asked(worker, "open", seconds + _GRACE, path=path, name=file.name, **limits)
                if refused is None:
                    worker.ask("check", seconds + _GRACE, path=path, name=file.name, **limits)
        except OSError as error:
            raise unreadable(file.name, f"no process to try it can be started: {error.strerror}") from error
        except WorkerError as error:
            last = "".join(f": {line}" for line in error.stderr.splitlines()[-1:] if "exited" in error.reason)
            why = f"onnxruntime ends the process that opens or runs it: {error.reason}{last}"
            raise unreadable(file.name, why, _ORIGIN) from error
    return refused


def _written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def _asked(worker: WorkerProcess, deed: str, patience: float, **what: object) -> InputError | None:
    """The error that a worker reports, if it does."""
    try:
        worker.ask(deed, patience, **what)
    except InputError as error:
        return error
    return None
