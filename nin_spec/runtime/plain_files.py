"""Whether an ONNX file contains nothing but what nin-spec's own files contain, by its structure.

onnxruntime can end the process by a signal while it opens a file: an integer division of the lowest number by -1, or
an operator's attribute that it does not check. None of that is in a plain file: the operators of our exporter, without
subgraphs, functions or outside data, and divisions of floats alone. Metadata is not asked: anybody can write it.

The file is read field by field, strictly, without a parser: what looks odd is not plain.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nin_spec import wire_format as wire
from nin_spec.wire_format import LENGTH, VARINT, Data, NoFieldError

OPERATORS = frozenset({
    *("Conv", "Gemm", "BatchNormalization", "LRN", "PRelu", "Relu", "LeakyRelu", "Elu", "Gelu", "Sigmoid", "Tanh"),
    *("HardSwish", "Mish", "Softplus", "Erf", "Exp", "Clip", "Add", "Mul", "Div", "Max", "Slice", "Gather", "Pad"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Flatten", "Softmax", "LogSoftmax"),
    *("TopK", "Transpose", "Cast", "QuantizeLinear", "DequantizeLinear"),
    *("Log", "Sub", "ReduceMax", "ReduceSum", "Shape", "Reshape"),  # in what is written for a device
})  # fmt: skip
"""What the exporter and the quantiser write."""
MAX_NODES = 20_000
_LARGEST = 1 << 31
_FLOATS = {1, 10, 11}
"""ONNX's numbers of float32, float16 and float64."""

# Fields of onnx.proto by their numbers: those that a plain file may have, beside those that are read.
_TEXTS_OF_MODEL = {1, 2, 3, 4, 5, 6, 8, 14}
_GRAPH = 7
_TEXTS_OF_GRAPH = {2, 10, 11, 12, 13}
_NODE, _INITIALIZER = 1, 5
_INPUT, _OP_TYPE, _ATTRIBUTE = 1, 4, 5
_TEXTS_OF_NODE = {2, 3, 6}
_NUMBER, _NUMBERS = 3, 8
_TEXTS_OF_ATTRIBUTE = {1, 2, 4, 7, 13, 20}
_DATA_TYPE, _TENSOR_NAME, _DATA_LOCATION = 2, 8, 14
_DATA_OF_TENSOR = {1, 4, 5, 7, 9, 10, 12}


@dataclass
class _Seen:
    """What of a graph must be known before its divisions are judged."""

    nodes: int = 0
    tensors: set[bytes] = field(default_factory=set)
    floats: set[bytes] = field(default_factory=set)
    divisions: list[set[bytes]] = field(default_factory=list)


class _OddError(Exception):
    """The file is not plain."""


def is_plain(source: bytes | str) -> bool:
    """Whether a file, given as its bytes or its path, is plain; one that can't be read is not."""
    if isinstance(source, bytes):
        return _is_plain(source)
    if Path(source).suffix == ".ort":  # onnxruntime reads its own format by that name
        return False
    try:
        with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _is_plain(content)
    except (OSError, ValueError):  # an empty file can't be mapped
        return False


def _is_plain(data: Data) -> bool:
    if data[4:8] == b"ORTM":
        return False
    seen = _Seen()
    try:
        for number, _, start, end in _known(data, 0, len(data), _TEXTS_OF_MODEL | {_GRAPH}):
            if number == _GRAPH:
                _read_graph(data, start, end, seen)
    except (_OddError, NoFieldError):
        return False
    return all(inputs & seen.floats for inputs in seen.divisions)


def _known(data: Data, start: int, end: int, numbers: set[int]) -> Iterator[wire.Field]:
    """The fields of a message. Raises _OddError for a number that is not among these, and for groups."""
    for found in wire.fields(data, start, end):
        if found[0] not in numbers or found[1] in {wire.GROUP_START, wire.GROUP_END}:
            raise _OddError
        yield found


def _read_graph(data: Data, start: int, end: int, seen: _Seen) -> None:
    for number, kind, first, last in _known(data, start, end, _TEXTS_OF_GRAPH | {_NODE, _INITIALIZER}):
        if number == _NODE:
            _require(kind == LENGTH)
            _read_node(data, first, last, seen)
        elif number == _INITIALIZER:
            _require(kind == LENGTH)
            _read_tensor(data, first, last, seen)


def _read_node(data: Data, start: int, end: int, seen: _Seen) -> None:
    seen.nodes += 1
    _require(seen.nodes <= MAX_NODES)
    operators, inputs, numbers = [], set(), []
    for number, kind, first, last in _known(data, start, end, _TEXTS_OF_NODE | {_INPUT, _OP_TYPE, _ATTRIBUTE}):
        _require(kind == LENGTH)
        if number == _OP_TYPE:
            operators.append(data[first:last].decode("ascii", "replace"))
        elif number == _INPUT:
            inputs.add(data[first:last])
        elif number == _ATTRIBUTE:
            numbers += _numbers(data, first, last)
    _require(len(operators) == 1 and operators[0] in OPERATORS)
    _require(all(n < _LARGEST for n in numbers))
    if operators == ["Div"]:
        seen.divisions.append(inputs)
    elif operators == ["Cast"]:
        _require(set(numbers) <= _FLOATS)


def _numbers(data: Data, start: int, end: int) -> list[int]:
    """The integers of an attribute, as they are written: a negative one is large."""
    found = []
    for number, kind, first, last in _known(data, start, end, _TEXTS_OF_ATTRIBUTE | {_NUMBER, _NUMBERS}):
        if number not in {_NUMBER, _NUMBERS}:
            continue
        _require(kind in {VARINT, LENGTH})
        at = first
        while at < last:
            value, at = wire.varint(data, at)
            found.append(value)
    return found


def _read_tensor(data: Data, start: int, end: int, seen: _Seen) -> None:
    kinds, names = [], []
    read = {_DATA_TYPE, _TENSOR_NAME, _DATA_LOCATION}
    for number, kind, first, last in _known(data, start, end, _DATA_OF_TENSOR | read):
        if number == _DATA_LOCATION:
            _require(kind == VARINT and wire.varint(data, first)[0] == 0)  # in this file
        elif number == _DATA_TYPE:
            _require(kind == VARINT)
            kinds.append(wire.varint(data, first)[0])
        elif number == _TENSOR_NAME:
            names.append(data[first:last])
    _require(len(kinds) == len(names) == 1 and names[0] != b"")
    _require(names[0] not in seen.tensors)  # of several onnxruntime takes the last
    seen.tensors.add(names[0])
    if kinds[0] in _FLOATS:
        seen.floats.add(names[0])


def _require(condition: bool) -> None:  # noqa: FBT001
    if not condition:
        raise _OddError
