"""Work of onnxruntime on a file that nobody vouches for: given up when it takes too long or too much memory.

A graph may hold a loop without end, or constants that unfold to gigabytes, and a call into onnxruntime can't be
stopped. So it runs in a thread, which is left behind; a process that left one ends without waiting for it.
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
"""Seconds that a file may take to be opened on the CPU, to be compiled for another device, and a batch to be run."""
MEMORY = 6 << 30
"""Bytes by which the process may grow meanwhile, beside twenty times the file."""
_LOOK = 0.05
_STATM = Path("/proc/self/statm")
_left: list[threading.Thread] = []


def within(seconds: float, name: str, what: str, call: Callable[[], T], memory: int = MEMORY) -> T:
    """What `call` returns or raises. Raises InputError once it takes longer, or the process grows by more bytes.

    `name` is what messages call the file, `what` says in a few words what is done with it.
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
    except BaseException:  # Ctrl-C among them: the thread goes on
        _left.append(thread)
        raise
    if why is not None:
        _left.append(thread)
        hint = "a network of this language is opened in seconds: check where the file comes from"
        raise InputError(Code.MODEL_UNREADABLE, f"{name} can't be used: {why}", hint=hint)
    if raised:
        raise raised[0]
    result: T = found[0]
    return result


def _overstepped(done: threading.Event, seconds: float, most: int, what: str, memory: int) -> str | None:
    """The limit that is overstepped before `done` is set; None where none is. `most` are bytes of the process."""
    looks = 0
    while not done.wait(_LOOK):
        looks += 1
        if looks * _LOOK >= seconds:
            return f"{what} {seconds:g} s"
        if _resident() > most:
            return f"{what} {memory >> 20} MiB of memory"
    return None


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    if not sys.platform.startswith("linux"):
        return 0
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def leave(code: int) -> None:
    """End the process where a thread was left behind: Python's own end would crash under it."""
    if any(thread.is_alive() for thread in _left):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
