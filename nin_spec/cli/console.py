"""The terminal."""

from __future__ import annotations

import shutil
import sys

FILE_WIDTH = 1000
"""Columns to assume where output goes into a file or a pipe: nothing is left out there."""


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH
