"""The interface through which a training reports progress: to the command line, a notebook, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Row = Mapping[str, float | int]


@dataclass(frozen=True, slots=True)
class Pace:
    """Speed of an epoch: seconds of its steps, pictures per second, and the fraction spent waiting for data."""

    seconds: float
    images_per_second: float
    data_share: float


class Reporter(Protocol):
    """Receives progress, in the main process only."""

    def started(self, facts: Mapping[str, object], step: int, steps: int, batch: int) -> None:
        """Training starts, with `step` of `steps` done."""

    def stepped(self, step: int, loss: float) -> None:
        """A step is done; `loss` is its mean loss."""

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """An epoch is done."""

    def logged(self, message: str) -> None:
        """A message for the user."""


class Silent:
    """Ignores all events."""

    def started(self, facts: Mapping[str, object], step: int, steps: int, batch: int) -> None:
        """Nothing."""

    def stepped(self, step: int, loss: float) -> None:
        """Nothing."""

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """Nothing."""

    def logged(self, message: str) -> None:
        """Nothing."""
