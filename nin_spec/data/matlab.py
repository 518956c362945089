"""Numeric arrays of MATLAB files of version 5 to 7, the format of SVHN.

Not with SciPy: its reader crashes the process on some damaged files. The format is specified in MathWorks' "MAT-File
Format"; cells, structures, strings and complex or sparse arrays are skipped.
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
"""Limit of the padding at the end of a stream."""
_LONGEST_START = 4096
"""Limit of the bytes of an array before its values: flags, sizes and name."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """The bytes of a file or of one unpacked element, with a prefix for positions in messages."""

    path: Path
    order: str
    data: Bytes
    where: str

    def tag(self, at: int) -> tuple[int, int, int, int]:
        """An element at a byte: its type, the start of its data, its size, and the start of the next element."""
        self.require(at, 8, "the header of an element")
        first, size = (int(v) for v in self.data[at : at + 8].view(f"{self.order}u4"))
        if first >> 16:  # up to four bytes of data are stored in the tag
            return first & 0xFFFF, at + 4, first >> 16, at + 8
        return first, at + 8, size, at + 8 + size + -size % 8

    def numbers(self, at: int, what: str, kinds: Collection[int]) -> tuple[NDArray[Any], int]:
        """The values of an element at a byte, as stored, and the start of the next element."""
        kind, start, size, after = self.tag(at)
        if kind not in kinds or size % (width := np.dtype(_NUMBERS[kind]).itemsize):
            raise self.fault(f"{what} at byte {at:,} are of type {kind} and {size:,} bytes")
        self.require(start, size, what)
        raw = self.data[start : start + size]
        # A view of bytes works without alignment of the mapped file.
        return np.frombuffer(raw, f"{self.order}{_NUMBERS[kind]}", size // width), after

    def require(self, at: int, size: int, what: str) -> None:
        """Raise DataError if data extends past the end."""
        if at + size > len(self.data):
            raise self.fault(f"it ends at byte {len(self.data):,}, but {what} should end at byte {at + size:,}")

    def fault(self, why: str) -> Exception:
        """The error of a damaged file, with the position."""
        return damaged(self.path, f"{why}{self.where}")


def read_matlab(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The numeric arrays with these names, if present, in the dtype in which they are stored.

    Uncompressed arrays are memory-mapped. Raises DataError, which names the byte. Sizes are checked before memory is
    allocated.
    """
    try:
        size = path.stat().st_size
        data: Bytes = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    except OSError as error:
        raise unreadable(path, error) from None
    reader = _Reader(path, _order(path, data), data, "")
    return dict(_arrays(reader, names))


def _order(path: Path, data: Bytes) -> str:
    """The byte order of the file."""
    start = data[:_HEADER].tobytes()
    mark = {b"IM": "<", b"MI": ">"}.get(start[126:128])
    if mark is None:
        raise damaged(path, "it does not start like a MATLAB file of version 5 to 7")
    if start[124:126] != (b"\0\1" if mark == "<" else b"\1\0"):
        raise misfit(f"{path} is a MATLAB file of an unsupported version", "save it in MATLAB with the option -v7")
    return mark


def _arrays(reader: _Reader, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    at = _HEADER
    while at < len(reader.data):
        kind, start, size, after = reader.tag(at)
        reader.require(start, size, "the element there")
        if not 1 <= kind <= _LAST_KIND:
            raise reader.fault(f"the element at byte {at:,} has type {kind}; types are 1 to {_LAST_KIND}")
        if kind == _COMPRESSED:
            yield from _compressed(reader, start, size, names)
            after = start + size  # not padded
        elif kind == _MATRIX:
            yield from _array(reader, start, names)
        at = after


def _compressed(reader: _Reader, start: int, size: int, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """An array in a zlib stream, fully unpacked only if it is one of `names`."""
    packed = reader.data[start : start + size]
    where = f" (in the compressed data at byte {start:,})"
    head = _Reader(reader.path, reader.order, _unpack(reader, packed, _LONGEST_START, start), where)
    kind, _, length, _ = head.tag(0)
    if kind != _MATRIX or _name(head, 8)[0] not in names:
        return
    if length > _MAX_UNPACKED:
        raise head.fault(f"an array declares {length:,} bytes")
    whole = _unpack(reader, packed, 8 + length, start, whole=True)
    yield from _array(_Reader(reader.path, reader.order, whole, where), 8, names)


def _unpack(reader: _Reader, packed: Bytes, limit: int, start: int, *, whole: bool = False) -> Bytes:
    """Up to `limit` bytes of a zlib stream; with `whole`, it must end there with a valid checksum."""
    stream, data = zlib.decompressobj(), bytearray()
    try:
        for at in range(0, len(packed), _CHUNK):
            # A few more bytes reveal a longer stream, where zlib would stop.
            data += stream.decompress(packed[at : at + _CHUNK].tobytes(), limit + _SPARE - len(data))
            if stream.eof or len(data) == limit + _SPARE:
                break
    except zlib.error as error:
        raise reader.fault(f"the compressed data at byte {start:,} can't be unpacked: {error}") from None
    if whole and not (stream.eof and limit <= len(data) < limit + _SPARE):
        raise reader.fault(f"the compressed data at byte {start:,} does not have the declared {limit:,} bytes")
    return np.frombuffer(bytes(data[:limit]), np.uint8)


def _name(reader: _Reader, at: int) -> tuple[str, tuple[int, ...], int, int]:
    """An array's name, sizes, flags, and the start of its values."""
    flags, at = reader.numbers(at, "the flags", (6,))
    sizes, at = reader.numbers(at, "the sizes", (5,))
    letters, at = reader.numbers(at, "the name", (1, 2))
    if len(flags) != 2 or (sizes < 0).any():
        raise reader.fault("an array has invalid flags or sizes")
    return letters.tobytes().decode("latin-1"), tuple(sizes.tolist()), int(flags[0]), at


def _array(reader: _Reader, at: int, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    name, shape, flags, at = _name(reader, at)
    if name not in names or flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX:
        return
    values, _ = reader.numbers(at, f"the values of {name}", _NUMBERS)
    if len(values) != math.prod(shape):
        raise reader.fault(f"{name} has {len(values):,} values, but its shape {shape} needs {math.prod(shape):,}")
    yield name, values.reshape(shape, order="F")
