"""Parts whose pictures are bytes of one size, in memory or mapped from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nin_spec.data.faults import damaged
from nin_spec.data.part import Numbers, PartName
from nin_spec.pictures import Frame, Pixels, to_frame

Reader = Callable[[Numbers], Pixels]


@dataclass(frozen=True, eq=False)
class ArrayPart:
    """`read` gives the raw pictures of some numbers: (n, H, W) gray, or (n, H, W, 1 or 3)."""

    dataset: str
    part: PartName
    where: str
    classes: tuple[str, ...]
    labels: Numbers
    read: Reader = field(repr=False)

    def pictures(self, indices: Numbers, frame: Frame) -> Pixels:
        return bring(self.read(indices), frame)

    def evidence(self, indices: Numbers) -> bytes:
        """The raw pixels."""
        return self.read(indices).tobytes()

    def __len__(self) -> int:
        return len(self.labels)


def bring(raw: Pixels, frame: Frame) -> Pixels:
    """Raw pictures in the frame, each as `to_frame` would have it alone; a new array."""
    pictures = raw[..., None] if raw.ndim == 3 else raw
    count, height, width, channels = pictures.shape
    if not count:
        return np.empty((0, frame.height, frame.width, frame.channels), np.uint8)
    if not frame.keeps(height, width):
        flat = pictures[..., 0] if channels == 1 else pictures
        return np.stack([to_frame(Image.fromarray(picture), frame) for picture in flat])
    if channels == frame.channels:
        return np.array(pictures, order="C")
    if channels == 1:
        return np.repeat(pictures, 3, axis=-1)
    # All as one tall picture: luminance is taken pixel by pixel.
    tall = Image.fromarray(pictures.reshape(count * height, width, 3)).convert("L")
    return np.array(tall).reshape(count, height, width, 1)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Arrays of several files, indexed as if they were one; nothing is joined."""

    arrays: Sequence[Pixels]

    def take(self, indices: Numbers) -> Pixels:
        """These items, in this order."""
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


def class_numbers(raw: NDArray[np.integer], count: int, path: Path | str, place: Callable[[int], str]) -> Numbers:
    """Labels as int64, each shown to be a class; `place` says where label number k lies, as `byte 12`."""
    wrong = np.flatnonzero((raw < 0) | (raw >= count))
    if len(wrong):
        first = int(wrong[0])
        why = f"{place(first)} holds label {int(raw[first])}, and there are classes 0 to {count - 1}"
        more = f" ({len(wrong):,} labels are wrong)" if len(wrong) > 1 else ""
        raise damaged(path, why + more)
    labels = raw.astype(np.int64)
    labels.setflags(write=False)
    return labels


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that have none."""
    return tuple(map(str, range(count)))
