"""The interface of every data set: a split, read lazily by index."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Diagnostic
from nin_spec.pictures import Frame, Pixels

SplitName = Literal["train", "test"]
Indices = NDArray[np.int64]

__all__ = [
    "Evidence",
    "Frame",
    "Headed",
    "Indices",
    "Listed",
    "Pixels",
    "Split",
    "SplitName",
    "evidence_of",
    "names_of",
]


class Split(Protocol):
    """The training or the test split of a data set.

    `labels` (n,) has each picture's class index; `classes` are the class names, by default ("0", "1", ...). `where` is
    the folder or file it was read from, for messages.
    """

    @property
    def dataset(self) -> str: ...
    @property
    def name(self) -> SplitName: ...
    @property
    def where(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> Indices: ...

    def pictures(self, indices: Indices, frame: Frame) -> Pixels:
        """The pictures at these indices in the frame: (n, height, width, channels), RGB or gray.

        Thread-safe. Raises DataError with every damaged picture among them, its file and, if known, the byte.
        """
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Evidence(Protocol):
    """A split with a cheap identification of its pictures: pixels, or file names and sizes."""

    def evidence(self, indices: Indices) -> bytes: ...


@runtime_checkable
class Headed(Protocol):
    """A split whose pictures are files, with a cheap check of their headers."""

    def headers(self, indices: Indices) -> list[Diagnostic]: ...


@runtime_checkable
class Listed(Protocol):
    """A split whose pictures have names."""

    def names(self, indices: Indices) -> list[str]: ...


def names_of(split: Split, indices: Indices) -> list[str]:
    """A name for each of these pictures: its file below the split's folder, else its index, `test[17]`."""
    return split.names(indices) if isinstance(split, Listed) else [f"{split.name}[{int(k)}]" for k in indices]


def evidence_of(split: Split, indices: Indices) -> bytes:
    """Bytes that identify these pictures: the split's own evidence if it has any."""
    if isinstance(split, Evidence):
        return split.evidence(indices)
    return split.pictures(indices, Frame(3, 32, 32)).tobytes()
