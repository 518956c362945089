"""Progress of a long command: what is being done and how long it will take, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from nin_spec.cli.console import canvas, draws
from nin_spec.cli.printer import is_quiet
from nin_spec.diagnostics import printable


def reporter() -> Callable[[str, float | None], None]:
    """What is being done, on standard error: one line that changes on a terminal, else a line a step or second."""
    said = {"at": 0.0}

    def report(what: str, left: float | None) -> None:
        text = what if left is None else f"{what}; {clock(left)} left"
        if draws():
            click.echo(f"\r\x1b[K{printable(text)[:78]}", file=canvas(), nl=False)
        elif not is_quiet() and time.monotonic() - said["at"] >= 1:
            said["at"] = time.monotonic()
            click.echo(text, err=True)

    return report


def clear_line() -> None:
    """Erase the progress line on a terminal."""
    if draws():
        click.echo("\r\x1b[K", file=canvas(), nl=False)


def clock(seconds: float) -> str:
    """`42 s`, `3 min`, `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
