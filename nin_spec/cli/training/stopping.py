"""SIGINT and SIGTERM while training: the first finishes the step, the second stops at once."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import click


class Stop:
    """Asked after each step whether to stop. The second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked, self.number = False, int(signal.SIGINT)

    def __call__(self) -> bool:
        return self.asked

    @property
    def code(self) -> int:
        """The exit code of a run that a signal stopped."""
        return 128 + self.number

    def handle(self, number: int, _frame: object) -> None:
        """A signal has come."""
        if self.asked and number == signal.SIGTERM:
            sys.exit(128 + number)
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.number = True, number
        click.echo(f"\n{signal.Signals(number).name}: finishing this step; again to stop at once", err=True)


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """SIGINT and SIGTERM ask to stop, while training."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
