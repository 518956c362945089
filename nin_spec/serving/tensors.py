"""The protocol's data types and NumPy's. Sizes are checked before memory is allocated."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.serving.errors import BadRequestError

Array = NDArray[Any]
Shape = tuple[int, ...]

_NUMBERS = {
    "BOOL": "?",
    **{f"UINT{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    **{f"INT{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": f"<f{n}" for n in (2, 4, 8)},
}
DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(code) for name, code in _NUMBERS.items()}
"""By the protocol's names; BYTES has no fixed size, and is an object array here."""
NAMES = {dtype: name for name, dtype in DTYPES.items()} | {np.dtype(object): "BYTES"}
MAX_DIMS = 16
_LARGEST_AXIS = 2**63 - 1
_PIECE = 1 << 16
_LARGEST_ITEM = max(dtype.itemsize for dtype in DTYPES.values())


def check_datatype(name: str, datatype: object) -> str:
    """The data type of a request's tensor. Raises BadRequestError for an unsupported one."""
    if not isinstance(datatype, str) or datatype not in DTYPES:
        known = ", ".join(DTYPES)
        raise BadRequestError(f"input {name!r}: the datatype is {show(datatype)}, not one of {known}")
    return datatype


def check_shape(name: str, shape: object) -> Shape:
    """The shape of a request's tensor. Raises BadRequestError unless it is a list of sizes."""
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not 1 <= len(shape) <= MAX_DIMS:
        raise BadRequestError(f"input {name!r}: the shape is {show(shape)}, not a list of 1 to {MAX_DIMS} sizes")
    for axis in shape:
        if type(axis) is not int or not 0 <= axis <= _LARGEST_AXIS:
            raise BadRequestError(f"input {name!r}: the shape has {show(axis)}, which is not a valid size")
    if 0 in shape and math.prod(axis for axis in shape if axis) > _LARGEST_AXIS // _LARGEST_ITEM:
        raise BadRequestError(f"input {name!r}: the shape {show(shape)} is too large for an array")
    return tuple(shape)


def from_raw(name: str, datatype: str, shape: Shape, raw: bytes | memoryview) -> Array:
    """The array in a tensor's raw bytes, row-major and little-endian, without copying them."""
    dtype, count = DTYPES[datatype], math.prod(shape)
    if len(raw) != count * dtype.itemsize:
        wanted = f"{datatype} of shape {list(shape)} is {count * dtype.itemsize} bytes"
        raise BadRequestError(f"input {name!r}: {wanted}, but {len(raw)} were sent")
    return np.frombuffer(raw, dtype).reshape(shape)


def from_values(name: str, datatype: str, shape: Shape, values: object) -> Array:
    """The array of JSON values, flat or nested by its shape."""
    dtype, flat = DTYPES[datatype], _flatten(name, shape, values)
    array: Array = np.empty(len(flat), dtype)
    try:
        with np.errstate(over="raise"):
            for piece in pieces(len(flat)):
                array[piece] = _checked(name, datatype, flat[piece])
    except (OverflowError, FloatingPointError):
        raise BadRequestError(f"input {name!r}: a value is out of the range of {datatype}") from None
    return array.reshape(shape)


def pieces(count: int) -> Iterator[slice]:
    """Slices of some thousand values: one call that converts millions would block all other threads."""
    for start in range(0, count, _PIECE):
        yield slice(start, start + _PIECE)


def _checked(name: str, datatype: str, values: list[Any]) -> list[Any]:
    """Check the types and the range of values. Raises BadRequestError, OverflowError."""
    dtype = DTYPES[datatype]
    if wrong := set(map(type, values)) - _TYPES[dtype.kind]:
        named = ", ".join(sorted(_JSON_NAMES.get(kind, kind.__name__) for kind in wrong))
        raise BadRequestError(f"input {name!r}: the data has {named}, but {datatype} was declared")
    if dtype.kind in "ui":  # older NumPy versions wrap integers that are too large
        limits = np.iinfo(dtype)
        if min(values) < limits.min or max(values) > limits.max:
            raise OverflowError
    return values


_TYPES: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}
_JSON_NAMES = {type(None): "null", str: "texts", bool: "booleans", dict: "objects", list: "lists", float: "fractions"}


def _flatten(name: str, shape: Shape, values: object) -> list[Any]:
    """The values in one list, with as many items as the shape requires."""
    if not isinstance(values, list):
        raise BadRequestError(f"input {name!r}: the data is {show(values)}, not a list")
    count, depth = math.prod(shape), 1
    while values and isinstance(values[0], list):
        inner = shape[depth] if depth < len(shape) else -1
        whole = len(values) == math.prod(shape[:depth])
        if not whole or any(type(row) is not list or len(row) != inner for row in values):
            raise BadRequestError(f"input {name!r}: the nested data doesn't have the shape {list(shape)}")
        values, depth = list(chain.from_iterable(values)), depth + 1
    if len(values) != count:
        raise BadRequestError(f"input {name!r}: the shape {list(shape)} is {count} values, but {len(values)} were sent")
    return values


def to_raw(array: Array) -> bytes:
    """An array's bytes in the protocol's format; each string of an object array is preceded by its length."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(item)) + item for item in array.ravel())
    return array.tobytes()


def to_values(array: Array) -> list[Any]:
    """An array as one flat list for JSON. NaN and the infinities, which JSON doesn't have, become null."""
    if array.dtype == object:
        return [item.decode() for item in array.ravel()]
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [v if math.isfinite(v) else None for v in values]
    return values


def show(value: object) -> str:
    """A client's value, shortened for a message."""
    if isinstance(value, str | bytes):
        text = repr(value[:60])
    elif isinstance(value, Sequence | Mapping) and len(value) >= 20:
        text = "an object" if isinstance(value, Mapping) else "a list"
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def has_rows(output: Array, rows: int) -> bool:
    """Whether an output's first axis is probably that of the requests' rows, by its length."""
    return output.ndim > 0 and len(output) == rows
