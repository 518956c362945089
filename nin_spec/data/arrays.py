"""Splits whose pictures are bytes of one size, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.faults import damaged
from nin_spec.data.resizing import luminance, resize
from nin_spec.data.split import Indices, SplitName
from nin_spec.pictures import Frame, Pixels

Reader = Callable[[Indices], Pixels]


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """`read` returns the raw pictures at some indices: (n, H, W) gray, or (n, H, W, 1 or 3)."""

    dataset: str
    name: SplitName
    where: str
    classes: tuple[str, ...]
    labels: Indices
    read: Reader = field(repr=False)

    def pictures(self, indices: Indices, frame: Frame) -> Pixels:
        return bring(self.read(indices), frame)

    def evidence(self, indices: Indices) -> bytes:
        """The raw pixels."""
        return self.read(indices).tobytes()

    def __len__(self) -> int:
        return len(self.labels)


def bring(raw: Pixels, frame: Frame) -> Pixels:
    """Raw pictures in the frame, each equal to `to_frame` of it alone; a new array."""
    pictures = raw[..., None] if raw.ndim == 3 else raw
    count, height, width, channels = pictures.shape
    if not count:
        return np.empty((0, frame.height, frame.width, frame.channels), np.uint8)
    if not frame.keeps(height, width):
        return resize(pictures, frame)
    if channels == frame.channels:
        return np.array(pictures, order="C")
    if channels == 1:
        return np.repeat(pictures, 3, axis=-1)
    return luminance(pictures)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Arrays of several files, indexed as one without concatenation."""

    arrays: Sequence[Pixels]

    def take(self, indices: Indices) -> Pixels:
        """The items at these indices, in this order."""
        if len(self.arrays) == 1:
            return np.asarray(self.arrays[0][indices])
        ends = np.cumsum([len(a) for a in self.arrays])
        numbers = np.asarray(indices)
        numbers = np.where(numbers < 0, numbers + ends[-1], numbers)
        which = np.searchsorted(ends, numbers, side="right")
        result = np.empty((len(numbers), *self.arrays[0].shape[1:]), np.uint8)
        for k in np.unique(which):
            mine = which == k
            result[mine] = self.arrays[k][numbers[mine] - (ends[k] - len(self.arrays[k]))]
        return result


def class_numbers(raw: NDArray[np.integer], count: int, path: Path | str, locate: Callable[[int], str]) -> Indices:
    """Labels as int64, each checked to be a class; `locate` says where label k is, for example `byte 12`."""
    wrong = np.flatnonzero((raw < 0) | (raw >= count))
    if len(wrong):
        first = int(wrong[0])
        why = f"{locate(first)} has the label {int(raw[first])}; the classes are 0 to {count - 1}"
        more = f" ({len(wrong):,} labels are out of range)" if len(wrong) > 1 else ""
        raise damaged(path, why + more)
    labels = raw.astype(np.int64)
    labels.setflags(write=False)
    return labels


def numbered(count: int) -> tuple[str, ...]:
    """Class names for a data set without any."""
    return tuple(map(str, range(count)))
