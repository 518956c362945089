"""Who is measured when: in turns, every other one backwards, so that no place in the row is favoured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

SETTLE = 0.1
"""Seconds between two laps, in which the threads of the last contender stop spinning."""


@dataclass(frozen=True, slots=True)
class Step:
    """One contender (by its label) gets ready for a batch size, or runs a lap at it."""

    kind: Literal["ready", "lap"]
    label: str
    batch: int
    turn: int = 0


def schedule(labels: Sequence[tuple[str, Sequence[int]]], batches: Sequence[int], turns: int) -> list[Step]:
    """Every step in order. Each label comes with the batches that it runs at, none meaning all."""
    steps = []
    for batch in batches:
        row = [label for label, only in labels if not only or batch in only]
        steps += [Step("ready", label, batch) for label in row]
        for turn in range(turns):
            steps += [Step("lap", label, batch, turn) for label in row[:: -1 if turn % 2 else 1]]
    return steps


@dataclass
class Forecast:
    """How long the rest will take, from what was done. `seconds` is the length of a lap."""

    seconds: float
    known: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def learn(self, step: Step, took: float) -> None:
        """A step took so many seconds."""
        self.known[step.kind, step.label] = (step.batch, took)

    def left(self, steps: Sequence[Step]) -> float:
        """Seconds for these steps."""
        return sum(map(self._cost, steps))

    def _cost(self, step: Step) -> float:
        """What the last one of its kind took; a lap of long runs grows with the batch, a short one doesn't."""
        usual = self.seconds + SETTLE
        batch, took = self.known.get((step.kind, step.label), (step.batch, usual))
        if step.kind == "lap" and took > 2 * usual:
            return max(usual, took * step.batch / batch)
        return took
