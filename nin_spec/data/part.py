"""The one interface behind which every data set lies: a part, read by number, lazily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

PartName = Literal["train", "test"]
Pixels = NDArray[np.uint8]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Frame:
    """What pictures are brought to: channels (1 gray, 3 RGB), height, width, and how another size gets there.

    `resize` is the preprocessing contract's: `stretch`, or scale the shorter side and `crop` the centre.
    """

    channels: int
    height: int
    width: int
    resize: Literal["stretch", "crop"] = "stretch"


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
        one, the byte.
        """
        ...

    def __len__(self) -> int: ...
