"""A file that is not plain is opened first by a process of its own, which onnxruntime may end.

See `plain_files.py`. The process is `isolated_process.py`.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import threading
from typing import Any

from nin_spec import children
from nin_spec.diagnostics import Code, Diagnostic, InputError
from nin_spec.runtime.creation import File
from nin_spec.runtime.failures import unreadable

COMMAND = children.python("-m", "nin_spec.runtime.isolated_process")
_GRACE = 60.0
"""Seconds that the process may take beside the opening: its imports, and the check of what it opened."""
_ORIGIN = "networks of this language do not: check the origin of the file"


def try_opening(file: File, threads: int, seconds: float, memory: int) -> InputError | None:
    """Open a file on the CPU in another process, within limits. Returns why the CPU can't run it, if so.

    Raises InputError if onnxruntime ends the process, or could do so for some picture.
    """
    data = file.source if isinstance(file.source, bytes) else b""
    path = file.source if isinstance(file.source, str) else None
    order: dict[str, Any] = {"path": path, "size": len(data), "name": file.name, "threads": threads}
    order |= {"seconds": seconds, "memory": memory}
    answer = _ask(file, json.dumps(order).encode() + b"\n" + data, seconds)
    if not answer["diagnostics"]:
        return None
    error = InputError([Diagnostic(Code[code], message, hint=hint) for code, message, hint in answer["diagnostics"]])
    if answer["always"]:
        raise error
    return error


def _ask(file: File, order: bytes, seconds: float) -> dict[str, Any]:
    """What the process answers. It ends with this one, since its standard input then does."""
    late = threading.Event()
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 this interpreter, and our own module
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=children.environment()
            )
        except OSError as error:
            raise unreadable(file.name, f"no process to try it can be started: {error.strerror}") from error

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds + _GRACE, give_up)
        timer.start()
        try:
            answer = _exchange(process, order)
        finally:
            timer.cancel()
            process.kill()
            code = process.wait()
            _close(process)
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        if late.is_set():
            raise unreadable(file.name, f"opening it takes more than {seconds:g} s", _ORIGIN)
        errors.seek(0)
        raise _died(file, code, errors.read().decode(errors="replace").strip().splitlines()[-1:])


def _exchange(process: subprocess.Popen[bytes], order: bytes) -> bytes:
    """Send the order, and return the answer: empty if the process ended before."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process has no pipes")
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(order)
        process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        process.wait()
    return answer


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent has no reader
                pipe.close()


def _died(file: File, code: int, last: list[str]) -> InputError:
    """The error for a process that ended without an answer: by a signal, or with an exit status."""
    if code >= 0:
        shown = "".join(f": {line}" for line in last)
        return unreadable(file.name, f"the process that opened it ended with exit status {code}{shown}", _ORIGIN)
    name = _name_of(-code)
    if name == "SIGKILL":
        return unreadable(file.name, "the process that opened it was killed, probably for its memory", _ORIGIN)
    return unreadable(file.name, f"onnxruntime crashes ({name}) when it opens or runs it", _ORIGIN)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
