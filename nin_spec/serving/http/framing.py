"""The REST format of the protocol: JSON, and the binary tensor extension in both directions.

A binary body is JSON, with the length in the header Inference-Header-Content-Length, followed by the raw bytes of the
tensors with a parameter `binary_data_size`, in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import orjson

from nin_spec.serving.errors import BadRequestError
from nin_spec.serving.protocol import InferRequest, InferResponse, RequestedOutput, Tensor, TensorSpec, timeout_of
from nin_spec.serving.tensors import (
    DTYPES,
    Array,
    Shape,
    check_datatype,
    check_shape,
    from_raw,
    from_values,
    show,
    to_raw,
    to_values,
)

_CACHED = 1024
"""Limit in bytes of a cached parsed header: clients send the same one repeatedly."""

MAX_PARTS = 1 << 20
"""Limit of lists, objects and strings in JSON: short ones are twenty times as large in memory as in the text."""


@dataclass(frozen=True, slots=True)
class Part:
    """An input declared in the JSON: its array, or the range of its bytes after the JSON."""

    name: str
    datatype: str
    shape: Shape
    array: Array | None
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The validated JSON of a request. `size`: bytes that must follow it."""

    parts: tuple[Part, ...]
    outputs: tuple[RequestedOutput, ...]
    id: str
    timeout: float | None
    binary: bool
    size: int


def read_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """Parse a request's body. Without `header_length` it is all JSON. Raises BadRequestError."""
    length = len(body) if header_length is None else header_length
    if length > len(body):
        raise BadRequestError(f"the header declares {length} bytes of JSON, but the body has {len(body)}")
    parse = _read_again if length <= _CACHED else _read_header
    header = parse(body[:length])
    if header.size != len(body) - length:
        raise BadRequestError(
            f"binary_data_size adds up to {header.size} bytes, but {len(body) - length} follow the JSON"
        )
    view = memoryview(body)[length:]
    inputs = tuple(
        Tensor(p.name, from_raw(p.name, p.datatype, p.shape, view[p.start : p.end]) if p.array is None else p.array)
        for p in header.parts
    )
    return InferRequest(inputs, header.outputs, header.id, header.timeout, header.binary)


def read_raw(body: bytes, spec: TensorSpec) -> InferRequest:
    """A body with only the bytes of the single input: Inference-Header-Content-Length is 0."""
    batch, *rest = spec.shape
    if -1 in rest or spec.datatype not in DTYPES:
        raise BadRequestError(f"the shape {list(spec.shape)} of raw bytes is ambiguous; send a JSON header")
    item = DTYPES[spec.datatype].itemsize
    for axis in rest:
        item *= axis
    rows, left = divmod(len(body), item)
    if left or not rows or batch not in (-1, rows):
        raise BadRequestError(f"{len(body)} bytes don't match a {spec.datatype} tensor of shape {list(spec.shape)}")
    array = from_raw(spec.name, spec.datatype, (rows, *rest), body)
    return InferRequest((Tensor(spec.name, array),), binary=True)


def read_json(text: bytes) -> Any:
    """Parse standard JSON, without NaN, with limits on depth and size. Raises BadRequestError."""
    if text.count(b"[") + text.count(b"{") + text.count(b'"') // 2 > MAX_PARTS:
        told = f"the JSON has more than {MAX_PARTS} lists, objects and strings; send flat or binary data"
        raise BadRequestError(told)
    # It blocks other threads, but parses numbers five times as fast as Python's parser.
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg:
            raise BadRequestError(f"the JSON is nested too deep: {error}") from None
        if constant := _CONSTANT.match(error.doc[max(error.pos - 1, 0) :][:10]):
            told = f"{constant[1]} is not valid JSON; send such values as binary tensors"
            raise BadRequestError(f"the body is not JSON: {told}") from None
        raise BadRequestError(f"the body is not JSON: {error}") from None


_CONSTANT = re.compile(r"""[^\w"-]?(NaN|-?Infinity)""")


def _read_header(text: bytes) -> Header:
    data = read_json(text)
    if not isinstance(data, dict):
        raise BadRequestError("the request is not a JSON object")
    parameters = _mapping(data, "parameters", "the request")
    identity = data.get("id", "")
    if not isinstance(identity, str):
        raise BadRequestError("the id is not a string")
    inputs = [_read_input(item) for item in _list(data, "inputs", least=1)]
    _distinct("input", [part.name for part, _ in inputs])
    outputs = tuple(_read_output(item) for item in _list(data, "outputs", least=0))
    _distinct("output", [output.name for output in outputs])
    ends = [0, *accumulate(size for _, size in inputs)]
    return Header(
        parts=tuple(
            Part(p.name, p.datatype, p.shape, p.array, start, end)
            for (p, _), start, end in zip(inputs, ends, ends[1:], strict=False)
        ),
        outputs=outputs,
        id=identity,
        timeout=timeout_of(parameters["timeout"]) if "timeout" in parameters else None,
        binary=_flag(parameters, "binary_data_output") or False,
        size=ends[-1],
    )


_read_again = lru_cache(maxsize=256)(_read_header)


def _read_input(item: object) -> tuple[Part, int]:
    """An input, and the number of its bytes after the JSON."""
    data, name = _named(item, "input")
    datatype, shape = check_datatype(name, data.get("datatype")), check_shape(name, data.get("shape"))
    parameters = _mapping(data, "parameters", f"input {name!r}")
    _refuse_shared_memory(name, parameters)
    if ("binary_data_size" in parameters) == ("data" in data):
        raise BadRequestError(f"input {name!r} needs either data or the parameter binary_data_size")
    if "data" in data:
        return Part(name, datatype, shape, from_values(name, datatype, shape, data["data"])), 0
    size = parameters["binary_data_size"]
    if type(size) is not int or size < 0:
        raise BadRequestError(f"input {name!r}: binary_data_size is {show(size)}, not a number of bytes")
    return Part(name, datatype, shape, None), size


def _read_output(item: object) -> RequestedOutput:
    data, name = _named(item, "output")
    parameters = _mapping(data, "parameters", f"output {name!r}")
    _refuse_shared_memory(name, parameters)
    best = parameters.get("classification", 0)
    if type(best) is not int or not 0 <= best < 2**31:
        raise BadRequestError(f"output {name!r}: classification is {show(best)}, not a number of classes")
    return RequestedOutput(name, best, _flag(parameters, "binary_data"))


def _refuse_shared_memory(name: str, parameters: Mapping[str, Any]) -> None:
    if "shared_memory_region" in parameters:
        raise BadRequestError(f"{name!r}: this server does not support shared memory regions")


def _named(item: object, kind: str) -> tuple[dict[str, Any], str]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
        raise BadRequestError(f"each {kind} must be an object with a name")
    return item, item["name"]


def _mapping(data: Mapping[str, Any], key: str, of: str) -> Mapping[str, Any]:
    found = data.get(key, {})
    if not isinstance(found, dict):
        raise BadRequestError(f"{key} of {of} is {show(found)}, not an object")
    return found


def _list(data: Mapping[str, Any], key: str, *, least: int) -> list[Any]:
    found = data.get(key, [])
    if not isinstance(found, list) or len(found) < least:
        raise BadRequestError(f"{key} is {show(found)}, not a list of objects")
    return found


def _flag(parameters: Mapping[str, Any], key: str) -> bool | None:
    found = parameters.get(key)
    if found is not None and not isinstance(found, bool):
        raise BadRequestError(f"the parameter {key!r} is {show(found)}, not true or false")
    return found


def _distinct(kind: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise BadRequestError(f"an {kind} is named twice")


# ------------------------------------------------------------------ responses


def write_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON if the client requested binary tensors after it."""
    wishes = {o.name: o.binary for o in request.outputs}
    binary = [request.binary if (wish := wishes.get(tensor.name)) is None else wish for tensor in response.outputs]
    raw = [to_raw(t.array) if b else None for t, b in zip(response.outputs, binary, strict=True)]
    if all(part is not None for part in raw):
        key = tuple((t.name, t.datatype, t.shape, len(r or b"")) for t, r in zip(response.outputs, raw, strict=True))
        header = _binary_header(response.model_name, response.model_version, key)
        if response.id:  # the client's, of any length: not cached
            header = b'%s,"id":%s}' % (header[:-1], json.dumps(response.id).encode())
    else:
        entries = [_entry(t, r) for t, r in zip(response.outputs, raw, strict=True)]
        header = _dump(response.model_name, response.model_version, response.id, entries)
    if not any(binary):
        return header, None
    return b"".join([header, *(part for part in raw if part is not None)]), len(header)


def _entry(tensor: Tensor, raw: bytes | None) -> dict[str, Any]:
    content = {"data": to_values(tensor.array)} if raw is None else {"parameters": {"binary_data_size": len(raw)}}
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), **content}


@lru_cache(maxsize=256)
def _binary_header(name: str, version: str, key: tuple[tuple[str, str, Shape, int], ...]) -> bytes:
    entries = [
        {"name": n, "datatype": d, "shape": list(s), "parameters": {"binary_data_size": size}} for n, d, s, size in key
    ]
    return _dump(name, version, "", entries)


def _dump(name: str, version: str, identity: str, entries: list[dict[str, Any]]) -> bytes:
    data = {"model_name": name, "model_version": version, "outputs": entries}
    if identity:
        data["id"] = identity
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
