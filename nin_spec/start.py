"""The first lines of the command line, before anything is loaded that takes time.

Until a command begins, Ctrl-C ends the process at once: as an exception among imports it would be a traceback, or be
lost.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # without `typing`, which takes time
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(130)


def start() -> None:
    """Run the command line."""
    # Not where it is ignored, as under nohup.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from nin_spec.cli import main

    main()


def begin() -> None:
    """Give Ctrl-C back its usual meaning: a command has work of its own to undo."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
