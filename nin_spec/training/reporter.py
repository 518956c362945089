"""What a training says while it runs, to whoever listens: the command line, a notebook, nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Row = Mapping[str, float | int]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an epoch went: seconds of its steps, pictures a second, and the share spent waiting for data."""

    seconds: float
    images_per_second: float
    data_share: float


class Reporter(Protocol):
    """Called in the leading process only."""

    def started(self, facts: Mapping[str, object], step: int, steps: int, batch: int) -> None:
        """Training begins, `step` of `steps` being done."""

    def stepped(self, step: int, loss: float) -> None:
        """A step is done; `loss` is its mean loss."""

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """An epoch is done."""

    def told(self, message: str) -> None:
        """Something that a person should know."""


class Silent:
    """Says nothing."""

    def started(self, facts: Mapping[str, object], step: int, steps: int, batch: int) -> None:
        """Nothing."""

    def stepped(self, step: int, loss: float) -> None:
        """Nothing."""

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """Nothing."""

    def told(self, message: str) -> None:
        """Nothing."""
