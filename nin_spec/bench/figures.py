"""Medians, spreads and ratios of laps. A turn is the list of run times that a contender had in one lap."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

Turns = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Of `count` numbers the median, the quartiles `low` and `high`, the least and the most."""

    median: float
    low: float
    high: float
    least: float
    most: float
    count: int

    def scaled(self, factor: float) -> Spread:
        """The same in another unit, by a positive factor."""
        numbers = (self.median, self.low, self.high, self.least, self.most)
        median, low, high, least, most = (n * factor for n in numbers)
        return Spread(median, low, high, least, most, self.count)

    def as_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)


def spread_of(numbers: Iterable[float]) -> Spread:
    """The spread of one number or more; quartiles between two numbers are interpolated."""
    found = sorted(numbers)
    if not found:
        raise ValueError("no numbers have no spread")
    low, high = found[0], found[0]
    if len(found) > 1:
        low, _, high = statistics.quantiles(found, n=4, method="inclusive")
    return Spread(statistics.median(found), low, high, found[0], found[-1], len(found))


def ratios(ours: Turns, theirs: Turns) -> Spread:
    """Our median over theirs, turn by turn: what slows a whole turn slows both, and leaves the ratio alone.

    A turn that either lacks, as the contest was stopped in it, doesn't count.
    """
    pairs = zip(ours, theirs, strict=False)
    return spread_of(statistics.median(a) / statistics.median(b) for a, b in pairs)
