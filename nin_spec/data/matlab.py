"""Arrays of numbers from MATLAB files of version 5 to 7, as SVHN is published in.

Not by SciPy: its reader crashes the process on some damaged files. The format is that of MathWorks' paper
"MAT-File Format"; cells, structures, texts and complex or sparse arrays are passed over.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.faults import damaged, misfit, unreadable

Bytes = NDArray[np.uint8]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800
_LAST_KIND = 18
_CHUNK = 1 << 20
_MAX_UNPACKED = 2 << 30
_SPARE = 8
"""More than the padding that a writer may leave at the end of a stream."""
_LONGEST_START = 4096
"""Bytes of an array before its numbers: flags, sizes and name."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """The bytes of a file or of one unpacked element, and how to name a place in them."""

    path: Path
    order: str
    data: Bytes
    where: str

    def tag(self, at: int) -> tuple[int, int, int, int]:
        """An element at a byte: its type, where its data begins, its size, and where the next one begins."""
        self.require(at, 8, "the head of an element")
        first, size = (int(v) for v in self.data[at : at + 8].view(f"{self.order}u4"))
        if first >> 16:  # four bytes of data or fewer share the tag
            return first & 0xFFFF, at + 4, first >> 16, at + 8
        return first, at + 8, size, at + 8 + size + -size % 8

    def numbers(self, at: int, what: str, kinds: Collection[int]) -> tuple[NDArray[Any], int]:
        """The numbers of an element at a byte, as they are stored; where the next one begins."""
        kind, start, size, after = self.tag(at)
        if kind not in kinds or size % (width := np.dtype(_NUMBERS[kind]).itemsize):
            raise self.fault(f"{what} at byte {at:,} are of type {kind} and {size:,} bytes")
        self.require(start, size, what)
        raw = self.data[start : start + size]
        # A view needs no alignment of the mapped file.
        return np.frombuffer(raw, f"{self.order}{_NUMBERS[kind]}", size // width), after

    def require(self, at: int, size: int, what: str) -> None:
        """Refuse what goes on after the end."""
        if at + size > len(self.data):
            raise self.fault(f"it ends at byte {len(self.data):,}, and {what} should end at byte {at + size:,}")

    def fault(self, why: str) -> Exception:
        """The file is damaged, said with the place."""
        return damaged(self.path, f"{why}{self.where}")


def read_matlab(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The numeric arrays of these names, as far as they are there, in the type that they are stored in.

    Arrays that are not compressed are mapped. Raises DataError, which names the byte. Nothing is allocated
    that the file does not hold.
    """
    try:
        size = path.stat().st_size
        data: Bytes = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    except OSError as error:
        raise unreadable(path, error) from None
    reader = _Reader(path, _order(path, data), data, "")
    return dict(_arrays(reader, names))


def _order(path: Path, data: Bytes) -> str:
    """Whether the file has the low byte first."""
    start = data[:_HEADER].tobytes()
    mark = {b"IM": "<", b"MI": ">"}.get(start[126:128])
    if mark is None:
        raise damaged(path, "it does not begin like a MATLAB file of version 5 to 7")
    if start[124:126] != (b"\0\1" if mark == "<" else b"\1\0"):
        raise misfit(f"{path} is a MATLAB file of another version", "save it in MATLAB with the option -v7")
    return mark


def _arrays(reader: _Reader, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    at = _HEADER
    while at < len(reader.data):
        kind, start, size, after = reader.tag(at)
        reader.require(start, size, "the element there")
        if not 1 <= kind <= _LAST_KIND:
            raise reader.fault(f"byte {at:,} begins an element of type {kind}, and there are 1 to {_LAST_KIND}")
        if kind == _COMPRESSED:
            yield from _compressed(reader, start, size, names)
            after = start + size  # not padded
        elif kind == _MATRIX:
            yield from _array(reader, start, names)
        at = after


def _compressed(reader: _Reader, start: int, size: int, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """An array in a zlib stream, unpacked whole only if it is one of those asked for."""
    packed = reader.data[start : start + size]
    where = f" (in what is packed from byte {start:,})"
    head = _Reader(reader.path, reader.order, _unpack(reader, packed, _LONGEST_START, start), where)
    kind, _, length, _ = head.tag(0)
    if kind != _MATRIX or _name(head, 8)[0] not in names:
        return
    if length > _MAX_UNPACKED:
        raise head.fault(f"an array claims {length:,} bytes")
    whole = _unpack(reader, packed, 8 + length, start, whole=True)
    yield from _array(_Reader(reader.path, reader.order, whole, where), 8, names)


def _unpack(reader: _Reader, packed: Bytes, limit: int, start: int, *, whole: bool = False) -> Bytes:
    """Up to `limit` bytes of a zlib stream; `whole` when it must end there, checksum and all."""
    stream, data = zlib.decompressobj(), bytearray()
    try:
        for at in range(0, len(packed), _CHUNK):
            # A few bytes more show a stream that goes on; zlib stops there.
            data += stream.decompress(packed[at : at + _CHUNK].tobytes(), limit + _SPARE - len(data))
            if stream.eof or len(data) == limit + _SPARE:
                break
    except zlib.error as error:
        raise reader.fault(f"what is packed from byte {start:,} can't be unpacked: {error}") from None
    if whole and not (stream.eof and limit <= len(data) < limit + _SPARE):
        raise reader.fault(f"what is packed from byte {start:,} has not the {limit:,} bytes it promises")
    return np.frombuffer(bytes(data[:limit]), np.uint8)


def _name(reader: _Reader, at: int) -> tuple[str, tuple[int, ...], int, int]:
    """An array's name, sizes, flags, and where its numbers begin."""
    flags, at = reader.numbers(at, "the flags", (6,))
    sizes, at = reader.numbers(at, "the sizes", (5,))
    letters, at = reader.numbers(at, "the name", (1, 2))
    if len(flags) != 2 or (sizes < 0).any():
        raise reader.fault("an array has no proper flags and sizes")
    return letters.tobytes().decode("latin-1"), tuple(sizes.tolist()), int(flags[0]), at


def _array(reader: _Reader, at: int, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    name, shape, flags, at = _name(reader, at)
    if name not in names or flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX:
        return
    values, _ = reader.numbers(at, f"the numbers of {name}", _NUMBERS)
    if len(values) != math.prod(shape):
        raise reader.fault(f"{name} has {len(values):,} numbers, and its sizes {shape} ask for {math.prod(shape):,}")
    yield name, values.reshape(shape, order="F")
