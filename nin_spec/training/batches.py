"""The pictures of each step: shuffling and augmentation.

Everything is a function of the seed, the epoch and the position in it: a resumed run and a run on several processes see
the same pictures. The next steps are prefetched.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nin_spec.data import Frame, Split
from nin_spec.data.ahead import read_ahead
from nin_spec.data.split import Indices, Pixels
from nin_spec.language.recipe import Augment
from nin_spec.training.augmentation import cut, erase, jitter, mirror, resized_crops
from nin_spec.training.draws import Draws, Purpose, Uniform
from nin_spec.training.mixing import Mixing, Mixture, mixing_of


@dataclass(frozen=True, slots=True)
class Share:
    """The share of each batch that one process computes: `rank` of `ranks`, in `micro_batches`."""

    rank: int = 0
    ranks: int = 1
    micro_batches: int = 1

    def rows(self, batch: int) -> list[tuple[int, int]]:
        """The rows (start, stop) of each micro-batch in the batch."""
        first, last = (batch * r // self.ranks for r in (self.rank, self.rank + 1))
        cuts = [first + (last - first) * k // self.micro_batches for k in range(self.micro_batches + 1)]
        return list(pairwise(cuts))


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows `start` to `stop` of a batch of `total`: pictures (n, H, W, C), class numbers (n,), what they mix with."""

    pictures: Pixels
    labels: Indices
    start: int
    stop: int
    total: int
    mixture: Mixture | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch's choices, by position: its order, crops and flips, and others where the recipe needs them."""

    order: Indices
    offsets: Uniform
    flips: NDArray[np.bool_]
    crops: Uniform | None
    jitters: Uniform | None
    erasures: Uniform | None
    mixing: Mixing | None


@dataclass
class Batches:
    """The batches of a training split, numbered by step from 0 over all epochs.

    An epoch has only complete batches; the remaining pictures differ from epoch to epoch. Pictures are first resized to
    the frame `stored`; with padding, random crops of `height` x `width` (`size`) are taken from it. `balanced` shows
    the pictures of each class equally often.
    """

    split: Split
    batch_size: int
    seed: int
    stored: Frame
    size: tuple[int, int]
    augment: Augment
    share: Share = Share()
    balanced: bool = False

    def __post_init__(self) -> None:
        self.batch = min(self.batch_size, len(self.split))
        self.per_epoch = len(self.split) // self.batch
        self._drawn = lru_cache(maxsize=2)(self._draw)

    def step(self, number: int) -> list[MicroBatch]:
        """This process's micro-batches of a step."""
        epoch, place = divmod(number, self.per_epoch)
        drawn, first = self._drawn(epoch), place * self.batch
        cuts = [slice(first + start, first + stop) for start, stop in self.share.rows(self.batch)]
        own = np.arange(cuts[0].start, cuts[-1].stop)
        # Each picture is read once, also one that is mixed with another of them.
        needed = own if drawn.mixing is None else np.union1d(own, drawn.mixing.partners[own])
        pictures = self._changed(drawn, needed)
        found = []
        for rows in cuts:
            place = int(np.searchsorted(needed, rows.start))
            chosen, mixture = pictures[place : place + rows.stop - rows.start], None
            if drawn.mixing is not None:
                theirs = drawn.mixing.partners[rows]
                others = pictures[np.searchsorted(needed, theirs)]
                chosen, mixture = drawn.mixing.of(rows, chosen, others, self.split.labels[drawn.order[theirs]])
            labels = self.split.labels[drawn.order[rows]]
            found.append(MicroBatch(chosen, labels, rows.start - first, rows.stop - first, self.batch, mixture))
        return found

    def _changed(self, drawn: Epoch, positions: Indices) -> Pixels:
        """The augmented pictures at some positions of an epoch."""
        pictures = self.split.pictures(drawn.order[positions], self.stored)
        offsets, augment = drawn.offsets[positions], self.augment
        if drawn.crops is not None and augment.resized_crop is not None:
            pictures = resized_crops(pictures, self.size, augment.resized_crop, drawn.crops[positions], offsets)
        else:
            pictures = cut(pictures, self.size, augment.pad_and_crop, offsets)
        if augment.flip:
            pictures = mirror(pictures, drawn.flips[positions])
        if drawn.jitters is not None and augment.jitter is not None:
            pictures = jitter(pictures, augment.jitter, drawn.jitters[positions])
        if drawn.erasures is not None:
            pictures = erase(pictures, augment.erase, drawn.erasures[positions])
        return pictures

    def steps(self, first: int, last: int) -> Generator[list[MicroBatch]]:
        """The steps from `first` until before `last`, prefetched in a thread."""
        return read_ahead(self.step, range(first, last))

    def _draw(self, epoch: int) -> Epoch:
        """An epoch's choices. Offsets of crops are 0 to 1 on two axes."""
        draws, augment = Draws(self.seed, epoch, len(self.split)), self.augment
        stream = draws.stream(Purpose.CHANGES)
        return Epoch(
            draws.balanced_order(self.split.labels) if self.balanced else draws.order(),
            stream.random((draws.count, 2)),
            stream.random(draws.count) < 0.5,
            draws.uniform(Purpose.CROP, 2) if augment.resized_crop is not None else None,
            draws.uniform(Purpose.JITTER, 3) if augment.jitter is not None else None,
            draws.uniform(Purpose.ERASE, 5) if augment.erase else None,
            mixing_of(draws, augment, self.batch),
        )
