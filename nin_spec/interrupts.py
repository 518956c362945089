"""Ctrl-C in the command line.

Until a command begins, Ctrl-C ends the process at once. From then on it raises KeyboardInterrupt, but not inside an
import or pydantic: there the exception could become a crash or another error, or be dropped.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # without `typing`, which is slow to import
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(130)


def leave_at_once() -> None:
    """Have Ctrl-C end the process without a traceback, unless it is ignored, as under nohup."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def begin() -> None:
    """Have Ctrl-C raise KeyboardInterrupt from here on: a command has work of its own to undo."""
    if signal.getsignal(signal.SIGINT) is not _leave:
        return
    if sys.platform == "win32":  # which has no timers
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return
    signal.signal(signal.SIGALRM, _retry)
    signal.signal(signal.SIGINT, _interrupt)


def end() -> None:
    """Drop a Ctrl-C that still waits: the command is done."""
    if sys.platform != "win32" and _Waiting.now:
        _wait(now=False)


if sys.platform != "win32":
    _RETRY_S = 0.001
    _UNSAFE = {"importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport", "pydantic"}

    class _Waiting:
        now = False  # whether a Ctrl-C waits until it is safe

    def _wait(*, now: bool) -> None:
        _Waiting.now = now
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S if now else 0)

    def _interrupt(_number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once that is safe; a second Ctrl-C does not wait for that."""
        if not _Waiting.now and not _safe(frame):
            _wait(now=True)
            return
        _wait(now=False)
        raise KeyboardInterrupt

    def _retry(_number: int, frame: FrameType | None) -> None:
        """Deliver the Ctrl-C that waits, to the handler there is by now."""
        if not _Waiting.now:
            return
        if not _safe(frame):
            _wait(now=True)
            return
        _wait(now=False)
        signal.raise_signal(signal.SIGINT)

    def _safe(frame: FrameType | None) -> bool:
        """Whether no frame of the main thread belongs to an import or pydantic: their callers may be Rust or C."""
        while frame is not None:
            if str(frame.f_globals.get("__name__")).partition(".")[0] in _UNSAFE:
                return False
            frame = frame.f_back
        return True
