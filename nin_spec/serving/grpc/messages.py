"""Conversion of the protocol's gRPC messages: requests are validated, responses have raw tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nin_spec import wire_format as wire
from nin_spec.serving.errors import BadRequestError
from nin_spec.serving.grpc.proto import messages as pb
from nin_spec.serving.protocol import InferRequest, InferResponse, RequestedOutput, Tensor, timeout_of
from nin_spec.serving.tensors import DTYPES, Array, Shape, check_datatype, check_shape, from_raw, pieces, show, to_raw

CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""The field of each type's values; FP16 has none, and is sent raw."""

MAX_FIELDS = 1 << 14
"""Limit of a message's fields, including nested ones: an empty tensor is two bytes, and a hundred once parsed."""


def check_fields(data: bytes, kind: Any) -> None:
    """Count a message's fields before it is parsed. Raises BadRequestError; invalid messages are left to the parser.

    `kind` is the message's descriptor.
    """
    if len(data) <= 2 * MAX_FIELDS:  # the smallest field has two bytes
        return
    parts, count = [(0, len(data), kind)], 0
    while parts:
        start, end, message = parts.pop()
        try:
            for number, kind_of_wire, first, last in wire.fields(data, start, end):
                count += 1
                if count > MAX_FIELDS:
                    raise BadRequestError(f"the message has more than {MAX_FIELDS} fields; send tensors raw or packed")
                field = message.fields_by_number.get(number)
                if kind_of_wire == wire.LENGTH and field is not None and field.message_type is not None:
                    parts.append((first, last, field.message_type))
        except wire.NoFieldError:
            continue  # the parser stops here, too, after reading the others


def read_message(message: Any) -> InferRequest:
    """A ModelInferRequest. Raises BadRequestError."""
    raw: list[bytes | None] = list(message.raw_input_contents) or [None] * len(message.inputs)
    if len(raw) != len(message.inputs):
        raise BadRequestError(f"{len(message.inputs)} inputs are declared, but {len(raw)} raw contents were sent")
    if not message.inputs:
        raise BadRequestError("the request has no inputs")
    inputs = tuple(_read_input(item, data) for item, data in zip(message.inputs, raw, strict=True))
    outputs = tuple(_read_output(item) for item in message.outputs)
    _distinct("input", (tensor.name for tensor in inputs))
    _distinct("output", (output.name for output in outputs))
    parameters = _parameters(message)
    timeout = timeout_of(parameters["timeout"]) if "timeout" in parameters else None
    return InferRequest(inputs, outputs, message.id, timeout)


def _read_input(item: Any, raw: bytes | None) -> Tensor:
    name = _named(item, "input")
    datatype, shape = check_datatype(name, item.datatype), check_shape(name, item.shape)
    if raw is None:
        return Tensor(name, _from_contents(name, datatype, shape, item.contents))
    if item.HasField("contents"):
        raise BadRequestError(f"input {name!r} has both contents and raw contents")
    return Tensor(name, from_raw(name, datatype, shape, raw))


def _from_contents(name: str, datatype: str, shape: Shape, contents: Any) -> Array:
    """The array of a tensor's typed contents."""
    own = CONTENTS.get(datatype)
    given = [field.name for field, _ in contents.ListFields()]
    if own is None or [key for key in given if key != own]:
        where = f"are in {own}" if own else "go into raw_input_contents"
        raise BadRequestError(f"input {name!r}: the values of {datatype} {where}, not in {', '.join(given) or 'none'}")
    values = getattr(contents, own)
    if len(values) != math.prod(shape):
        wanted = f"the shape {list(shape)} is {math.prod(shape)} values"
        raise BadRequestError(f"input {name!r}: {wanted}, but {len(values)} were sent")
    wide: Array = np.empty(len(values), _WIDE[own])
    for piece in pieces(len(values)):
        wide[piece] = values[piece]
    array = wide.astype(DTYPES[datatype], copy=False)
    if wide.dtype.kind in "ui" and not np.array_equal(array, wide):
        raise BadRequestError(f"input {name!r}: a value is out of the range of {datatype}")
    return array.reshape(shape)


_WIDE = {
    "bool_contents": np.bool_,
    "uint_contents": np.uint32,
    "uint64_contents": np.uint64,
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "fp32_contents": np.float32,
    "fp64_contents": np.float64,
}


def _read_output(item: Any) -> RequestedOutput:
    name = _named(item, "output")
    best = _parameters(item).get("classification", 0)
    if type(best) is not int or not 0 <= best < 2**31:
        raise BadRequestError(f"output {name!r}: classification is {show(best)}, not a number of classes")
    return RequestedOutput(name, best)


def _named(item: Any, kind: str) -> str:
    name: str = item.name
    if not name:
        raise BadRequestError(f"an {kind} has no name")
    if "shared_memory_region" in item.parameters:
        raise BadRequestError(f"{name!r}: this server does not support shared memory regions")
    return name


def _parameters(message: Any) -> Mapping[str, Any]:
    """Parameters as plain values; None for an unknown kind."""
    chosen = ((key, value, value.WhichOneof("parameter_choice")) for key, value in message.parameters.items())
    return {key: getattr(value, kind) if kind else None for key, value, kind in chosen}


def _distinct(kind: str, names: Iterable[str]) -> None:
    listed = list(names)
    if len(set(listed)) != len(listed):
        raise BadRequestError(f"an {kind} is named twice")


def write_message(response: InferResponse) -> Any:
    """A ModelInferResponse with raw tensors, like Triton's."""
    entries = [
        pb.ModelInferResponse.InferOutputTensor(name=t.name, datatype=t.datatype, shape=t.shape)
        for t in response.outputs
    ]
    return pb.ModelInferResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=response.id,
        outputs=entries,
        raw_output_contents=[to_raw(t.array) for t in response.outputs],
    )
