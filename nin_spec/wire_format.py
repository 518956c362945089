"""The wire format of Protocol Buffers, read without a schema or a parser (Protocol Buffers, "Encoding").

A message is a row of fields. A field is a tag (its number and its wire type, a varint), then a varint, 4 or 8 bytes, or
a length and as many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

Data = bytes | mmap
VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
_SIZES = {FIXED64: 8, FIXED32: 4, GROUP_START: 0, GROUP_END: 0}
"""Bytes after a tag. Group markers have none: fields in a group are read as if they were outside."""
Field = tuple[int, int, int, int]
"""Its number, its wire type, where its content starts, and where it ends."""


class NoFieldError(Exception):
    """These bytes are not a field."""


def fields(data: Data, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`. Raises NoFieldError for bytes that are not one."""
    at = start
    try:
        while at < end:
            tag, at = varint(data, at)
            first, at = field_end(data, at, tag & 7)
            if at > end:
                raise NoFieldError
            yield tag >> 3, tag & 7, first, at
    except IndexError as error:
        raise NoFieldError from error


def field_end(data: Data, at: int, wire: int) -> tuple[int, int]:
    """The start of a field's content after its tag, and its end. Raises NoFieldError or IndexError."""
    if wire == VARINT:
        return at, varint(data, at)[1]
    if wire == LENGTH:
        size, at = varint(data, at)
        return at, at + size
    if wire not in _SIZES:
        raise NoFieldError
    return at, at + _SIZES[wire]


def varint(data: Data, at: int) -> tuple[int, int]:
    """A varint, seven bits per byte, and its end. Raises NoFieldError or IndexError."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise NoFieldError
