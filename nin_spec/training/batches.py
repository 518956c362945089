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

_ORDER, _CHANGES = 0, 1  # random streams


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
    """Rows `start` to `stop` of a batch of `total`: pictures (n, H, W, C) and class numbers (n,)."""

    pictures: Pixels
    labels: Indices
    start: int
    stop: int
    total: int


@dataclass
class Batches:
    """The batches of a training split, numbered by step from 0 over all epochs.

    An epoch has only complete batches; the remaining pictures differ from epoch to epoch. Pictures are first resized to
    the frame `stored`; with padding, random crops of `height` x `width` (`size`) are taken from it.
    """

    split: Split
    batch_size: int
    seed: int
    stored: Frame
    size: tuple[int, int]
    augment: Augment
    share: Share = Share()

    def __post_init__(self) -> None:
        self.batch = min(self.batch_size, len(self.split))
        self.per_epoch = len(self.split) // self.batch
        self._drawn = lru_cache(maxsize=2)(self._draw)

    def step(self, number: int) -> list[MicroBatch]:
        """This process's micro-batches of a step."""
        epoch, place = divmod(number, self.per_epoch)
        order, offsets, flips = self._drawn(epoch)
        found = []
        for start, stop in self.share.rows(self.batch):
            rows = slice(place * self.batch + start, place * self.batch + stop)
            pictures = self.split.pictures(order[rows], self.stored)
            pictures = cut(pictures, self.size, self.augment.pad_and_crop, offsets[rows])
            if self.augment.flip:
                pictures = mirror(pictures, flips[rows])
            found.append(MicroBatch(pictures, self.split.labels[order[rows]], start, stop, self.batch))
        return found

    def steps(self, first: int, last: int) -> Generator[list[MicroBatch]]:
        """The steps from `first` until before `last`, prefetched in a thread."""
        return read_ahead(self.step, range(first, last))

    def _draw(self, epoch: int) -> tuple[Indices, NDArray[np.float64], NDArray[np.bool_]]:
        """An epoch's order, and for each position the crop offset (0 to 1, two axes) and whether to flip."""
        order = self._stream(epoch, _ORDER).permutation(len(self.split))
        stream = self._stream(epoch, _CHANGES)
        return order, stream.random((len(order), 2)), stream.random(len(order)) < 0.5

    def _stream(self, epoch: int, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch, purpose])))


def cut(pictures: Pixels, size: tuple[int, int], pad: int, offsets: NDArray[np.float64]) -> Pixels:
    """A crop of `size` from each picture, padded with black; offsets (n, 2) are in 0 to 1."""
    if pad:
        pictures = np.pad(pictures, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    room = pictures.shape[1] - size[0], pictures.shape[2] - size[1]
    if room == (0, 0):
        return pictures
    top, left = (np.floor(offsets[:, axis] * (room[axis] + 1)).astype(np.int64) for axis in (0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(pictures, size, axis=(1, 2))
    chosen: Pixels = windows[np.arange(len(pictures)), top, left].transpose(0, 2, 3, 1)
    return chosen


def mirror(pictures: Pixels, flips: NDArray[np.bool_]) -> Pixels:
    """The pictures, with those of `flips` flipped left to right."""
    return np.where(flips[:, None, None, None], pictures[:, :, ::-1], pictures)
