"""The terminal: how wide it is, what may be drawn on it, and text that can't drive it."""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import sys
from typing import IO, TextIO, cast

import click

from nin_spec.cli.printer import is_quiet
from nin_spec.diagnostics import Diagnostic, Severity, escaped, printable, render

FILE_WIDTH = 1000
"""Columns to assume where output goes into a file or a pipe: nothing is left out there."""

_ERRORS = "nin_spec.escaped"


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH


def draws() -> bool:
    """Whether to draw bars: where standard error is a terminal with any columns, and without --quiet."""
    if is_quiet() or not sys.stderr.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # a terminal that does not tell its size
        return True


def canvas() -> TextIO:
    """Standard error for what draws: the only way past the escapes of `Escaped`."""
    return cast("TextIO", getattr(sys.stderr, "bare", sys.stderr))


def colour() -> bool | None:
    """Whether to print in colour: as NO_COLOR and FORCE_COLOR say, else None, which is yes on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    # A console of Windows shows colours only once a program has asked it to; Windows Terminal always does.
    dumb = os.environ.get("TERM") == "dumb" or (sys.platform == "win32" and "WT_SESSION" not in os.environ)
    return False if dumb else None


def paint(text: str, *, err: bool = False) -> None:
    """Print nin-spec's own text, with its colours if wanted. Text of a user or a file must be escaped before."""
    stream = sys.stderr if err else sys.stdout
    wanted = colour()
    if not (stream.isatty() if wanted is None else wanted):
        text = click.unstyle(text)
    if isinstance(stream, Escaped):
        stream.paint(f"{text}\n")
    else:
        stream.write(f"{text}\n")
    stream.flush()


_HUES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "blue"}


def coloured(diagnostic: Diagnostic) -> str:
    """A diagnostic for `paint`: its severity and what it points at are coloured."""
    hue = _HUES[diagnostic.severity]
    head = f"{diagnostic.severity.value} {diagnostic.code.code}:"
    lines = render(diagnostic).split("\n")
    lines[0] = lines[0].replace(head, click.style(head, fg=hue, bold=True), 1)
    if diagnostic.span is not None:
        lines[2] = click.style(lines[2], fg=hue)
    return "\n".join(lines)


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
        super().write(plain(text))
        return len(text)

    def paint(self, text: str) -> None:
        """Write nin-spec's own text, and keep its colours."""
        super().write("".join(part if _COLOUR.fullmatch(part) else plain(part) for part in _COLOUR.split(text)))


_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def plain(text: str) -> str:
    """The text with its lines as they are, and everything else that could drive a terminal escaped."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


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
