"""The order of measurements: in turns, every other one reversed, so that no position is favoured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

SETTLE = 0.1
"""Seconds between two measurements, in which the threads of the last contender stop spinning."""


@dataclass(frozen=True, slots=True)
class Step:
    """One contender (by its label) prepares a batch size, or runs a turn at it."""

    kind: Literal["ready", "turn"]
    label: str
    batch: int
    turn: int = 0


def schedule(labels: Sequence[tuple[str, Sequence[int]]], batches: Sequence[int], turns: int) -> list[Step]:
    """Every step in order. Each label has the batch sizes that it runs at, empty for all."""
    steps = []
    for batch in batches:
        row = [label for label, only in labels if not only or batch in only]
        steps += [Step("ready", label, batch) for label in row]
        for turn in range(turns):
            steps += [Step("turn", label, batch, turn) for label in row[:: -1 if turn % 2 else 1]]
    return steps


@dataclass
class Forecast:
    """Estimates the remaining time from finished steps. `seconds` is the length of a turn."""

    seconds: float
    known: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def learn(self, step: Step, took: float) -> None:
        """Record the seconds that a step took."""
        self.known[step.kind, step.label] = (step.batch, took)

    def left(self, steps: Sequence[Step]) -> float:
        """Estimated seconds for these steps."""
        return sum(map(self._cost, steps))

    def _cost(self, step: Step) -> float:
        """The time of the last step of its kind; turns with long runs grow with the batch size, short ones don't."""
        usual = self.seconds + SETTLE
        batch, took = self.known.get((step.kind, step.label), (step.batch, usual))
        if step.kind == "turn" and took > 2 * usual:
            return max(usual, took * step.batch / batch)
        return took
