"""The terminal: how wide it is, what may be drawn on it, and text that can't drive it."""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
from typing import IO, TextIO, cast

from nin_spec.diagnostics import escaped, printable

FILE_WIDTH = 1000
"""Columns to assume where output goes into a file or a pipe: nothing is left out there."""

_ERRORS = "nin_spec.escaped"


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH


def draws() -> bool:
    """Whether standard error is a terminal on which a bar can be drawn; one of 0 columns is treated as a pipe is."""
    if not sys.stderr.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # a terminal that does not tell its size
        return True


def canvas() -> TextIO:
    """Standard error for what draws: the only way past the escapes of `Escaped`."""
    return cast("TextIO", getattr(sys.stderr, "bare", sys.stderr))


class Escaped(io.TextIOWrapper):
    """A standard stream on which a name from a file can't move the cursor, hide text or fail to be encoded.

    What is not printable, or not in the stream's encoding, is shown as `\\u001b`, as JSON and YAML escape it.
    """

    def __init__(self, bare: io.TextIOWrapper) -> None:
        through, lines = bare.write_through, bare.line_buffering
        super().__init__(
            cast("IO[bytes]", bare.buffer), bare.encoding, _ERRORS, line_buffering=lines, write_through=through
        )
        self.bare = bare

    def write(self, text: str, /) -> int:
        """Write a text, its lines as they are."""
        super().write(text if text.isprintable() else "\n".join(map(printable, text.split("\n"))))
        return len(text)


def escape_streams() -> None:
    """Have standard output and standard error escape what they write, from here to the end of the process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Escaped):
            setattr(sys, name, Escaped(stream))


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escape what the encoding lacks (an error handler of `codecs`)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return escaped(error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _escape)
