"""The random choices of an epoch: functions of the seed, the epoch and the position in it.

Each purpose has its own stream, so that one augmentation more or less leaves the choices of the others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.split import Indices

Uniform = NDArray[np.float64]


class Purpose(IntEnum):
    """What a stream is for; the numbers are part of what a seed means."""

    ORDER = 0
    CHANGES = 1
    CROP = 2
    JITTER = 3
    ERASE = 4
    MIX = 5
    PARTNERS = 6


@dataclass(frozen=True, slots=True)
class Draws:
    """The streams of one epoch over `count` positions."""

    seed: int
    epoch: int
    count: int

    def stream(self, purpose: Purpose) -> np.random.Generator:
        """The generator of a purpose, at its start."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, self.epoch, int(purpose)])))

    def uniform(self, purpose: Purpose, columns: int) -> Uniform:
        """(count, columns) values in [0, 1)."""
        return self.stream(purpose).random((self.count, columns))

    def order(self) -> Indices:
        """Every picture once."""
        return self.stream(Purpose.ORDER).permutation(self.count)

    def balanced_order(self, labels: Indices) -> Indices:
        """As many pictures of each class as of any other, up to one; those of a class equally often, up to one.

        Of each class whole permutations of its pictures are taken, and the start of another.
        """
        stream = self.stream(Purpose.ORDER)
        present = np.unique(labels)
        share, rest = divmod(self.count, len(present))
        shares = share + (stream.permutation(len(present)) < rest)
        chosen = []
        for label, size in zip(present, shares, strict=True):
            own = np.flatnonzero(labels == label)
            passes = [stream.permutation(own) for _ in range(-(-int(size) // len(own)))]
            chosen.append(np.concatenate([own[:0], *passes])[:size])
        return stream.permutation(np.concatenate(chosen))

    def partners(self, batch: int) -> Indices:
        """For each position another of the same batch: each batch is permuted on its own; the last may be short."""
        stream = self.stream(Purpose.PARTNERS)
        starts = range(0, self.count, batch)
        return np.concatenate([start + stream.permutation(min(batch, self.count - start)) for start in starts])
