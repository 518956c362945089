"""Messages of the Open Inference Protocol v2 as values, shared by REST and gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nin_spec.serving.errors import BadRequestError
from nin_spec.serving.tensors import NAMES, Array, Shape


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A declared input or output of a model; -1 is an axis of any size."""

    name: str
    datatype: str
    shape: Shape

    def as_dict(self) -> dict[str, Any]:
        """In the form of model metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array. BYTES are an array of objects, each `bytes`."""

    name: str
    array: Array

    @property
    def datatype(self) -> str:
        """The protocol's name of the array's dtype."""
        name: str = NAMES[self.array.dtype]
        return name

    @property
    def shape(self) -> Shape:
        """With the batch axis."""
        return self.array.shape


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output requested by a client.

    `classification`: its best k classes as strings instead, 0 for none. `binary` (REST): raw bytes after the JSON; None
    uses the request's default.
    """

    name: str
    classification: int = 0
    binary: bool | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request. Empty `outputs` means all. `timeout` is in seconds, None for the server's default."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    id: str = ""
    timeout: float | None = None
    binary: bool = False


@dataclass(frozen=True, slots=True)
class InferResponse:
    """An inference response, with outputs in the requested order."""

    model_name: str
    model_version: str
    id: str
    outputs: tuple[Tensor, ...]


def timeout_of(microseconds: object) -> float | None:
    """Triton's request parameter `timeout`, in seconds; 0 is the server's default. Raises BadRequestError."""
    if type(microseconds) is not int or not 0 <= microseconds < 2**63:
        raise BadRequestError("the parameter 'timeout' is not a number of microseconds")
    return microseconds / 1e6 if microseconds else None
