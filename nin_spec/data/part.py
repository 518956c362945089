"""The one interface behind which every data set lies: a part, read by number, lazily."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Diagnostic
from nin_spec.pictures import Frame, Pixels

PartName = Literal["train", "test"]
Numbers = NDArray[np.int64]

__all__ = ["Evidence", "Frame", "Headed", "Numbers", "Part", "PartName", "Pixels", "evidence_of"]


class Part(Protocol):
    """The training or the test part of a data set.

    `labels` (n,) holds each picture's class number; `classes` names the classes where the data set does,
    else it is ("0", "1", ...). `where` is the folder or file it was read from, for messages.
    """

    @property
    def dataset(self) -> str: ...
    @property
    def part(self) -> PartName: ...
    @property
    def where(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> Numbers: ...

    def pictures(self, indices: Numbers, frame: Frame) -> Pixels:
        """The pictures of these numbers in the frame: (n, height, width, channels), RGB or gray.

        Safe to call from several threads. Raises DataError, which names the file and, where it has
        one, the byte; every damaged picture among those asked for is in it.
        """
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Evidence(Protocol):
    """A part that can say cheaply what tells its pictures from others: bytes of pixels, or file names."""

    def evidence(self, indices: Numbers) -> bytes: ...


@runtime_checkable
class Headed(Protocol):
    """A part whose pictures are files, which show cheaply whether they begin as pictures do."""

    def headers(self, indices: Numbers) -> list[Diagnostic]: ...


def evidence_of(part: Part, indices: Numbers) -> bytes:
    """What tells these pictures from others, by the part's own word where it has one."""
    if isinstance(part, Evidence):
        return part.evidence(indices)
    return part.pictures(indices, Frame(3, 32, 32)).tobytes()
