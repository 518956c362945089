"""Limits on onnxruntime's work on an untrusted file: abandoned if it takes too long or too much memory.

A graph may contain an endless loop, or constants that expand to gigabytes, and a call into onnxruntime can't be
interrupted. So it runs in a thread, which may be abandoned; the process then exits without waiting for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nin_spec.diagnostics import Code, InputError

T = TypeVar("T")

OPENING, BUILDING, RUNNING = 120.0, 3600.0, 600.0
"""Timeouts in seconds to open a file on the CPU, to compile it for another device, and to run a batch."""
MEMORY = 6 << 30
"""Bytes by which the process may grow meanwhile, in addition to twenty times the file."""
_LOOK = 0.05
_STATM = Path("/proc/self/statm")
_left: list[threading.Thread] = []


def within(seconds: float, name: str, what: str, call: Callable[[], T], memory: int = MEMORY) -> T:
    """Run `call`, and return or raise its result. Raises InputError if it takes longer, or more memory.

    `name` is the file's name in messages, `what` describes the work.
    """
    found: list[Any] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:  # noqa: BLE001 raised again below, in the thread that asked
            raised.append(error)
        finally:
            done.set()

    done, before = threading.Event(), _resident()
    thread = threading.Thread(target=work, name=f"{what} {name}", daemon=True)
    thread.start()
    try:
        why = _overstepped(done, seconds, before + memory, f"{what} takes more than", memory)
    except BaseException:  # Ctrl-C among them: the thread keeps running
        _left.append(thread)
        raise
    if why is not None:
        _left.append(thread)
        hint = "networks of this language open within seconds: check the origin of the file"
        raise InputError(Code.MODEL_UNREADABLE, f"{name} can't be used: {why}", hint=hint)
    if raised:
        raise raised[0]
    result: T = found[0]
    return result


def _overstepped(done: threading.Event, seconds: float, most: int, what: str, memory: int) -> str | None:
    """The limit that is exceeded before `done` is set, else None. `most` are bytes of the process."""
    looks = 0
    while not done.wait(_LOOK):
        looks += 1
        if looks * _LOOK >= seconds:
            return f"{what} {seconds:g} s"
        if _resident() > most:
            return f"{what} {memory >> 20} MiB of memory"
    return None


def _resident() -> int:
    """Resident memory of this process in bytes; 0 if unknown."""
    if not sys.platform.startswith("linux"):
        return 0
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def leave(code: int) -> None:
    """End the process if a thread was abandoned: Python's normal exit would crash."""
    if any(thread.is_alive() for thread in _left):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
