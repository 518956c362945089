"""Medians, spreads and ratios of turns. A turn is the list of run times of one timed measurement."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

Turns = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, quartiles `low` and `high`, minimum and maximum of `count` numbers."""

    median: float
    low: float
    high: float
    least: float
    most: float
    count: int

    def scaled(self, factor: float) -> Spread:
        """The same in another unit, scaled by a positive factor."""
        numbers = (self.median, self.low, self.high, self.least, self.most)
        median, low, high, least, most = (n * factor for n in numbers)
        return Spread(median, low, high, least, most, self.count)

    def as_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self)


def spread_of(numbers: Iterable[float]) -> Spread:
    """The spread of at least one number; quartiles are interpolated."""
    found = sorted(numbers)
    if not found:
        raise ValueError("no numbers given")
    low, high = found[0], found[0]
    if len(found) > 1:
        low, _, high = statistics.quantiles(found, n=4, method="inclusive")
    return Spread(statistics.median(found), low, high, found[0], found[-1], len(found))


def ratios(ours: Turns, theirs: Turns) -> Spread:
    """Our median over theirs, turn by turn: a slow turn affects both, and leaves the ratio unchanged.

    A turn that either lacks, because the contest was interrupted, does not count.
    """
    pairs = zip(ours, theirs, strict=False)
    return spread_of(statistics.median(a) / statistics.median(b) for a, b in pairs)
