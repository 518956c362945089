"""Messages of the Open Inference Protocol v2 as values. REST and gRPC both speak in these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nin_spec.serving.errors import BadRequestError
from nin_spec.serving.tensors import NAMES, Array, Shape


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output that a model declares; -1 is an axis of any size."""

    name: str
    datatype: str
    shape: Shape

    def as_dict(self) -> dict[str, Any]:
        """As model metadata lists it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array. BYTES are an array of objects, each `bytes`."""

    name: str
    array: Array

    @property
    def datatype(self) -> str:
        """The protocol's name of the array's type."""
        name: str = NAMES[self.array.dtype]
        return name

    @property
    def shape(self) -> Shape:
        """With the batch axis."""
        return self.array.shape


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that a client names. `classification`: its best k classes as texts instead, 0 for none.

    `binary` is REST's: as raw bytes after the JSON. None leaves it to the request's default.
    """

    name: str
    classification: int = 0
    binary: bool | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks. No `outputs` means all of them. `timeout` is in seconds, None for the server's own."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    id: str = ""
    timeout: float | None = None
    binary: bool = False


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a model answers, in the order in which the outputs were asked for."""

    model_name: str
    model_version: str
    id: str
    outputs: tuple[Tensor, ...]


def timeout_of(microseconds: object) -> float | None:
    """Triton's request parameter `timeout`, in seconds; 0 is the server's own. Raises BadRequestError."""
    if type(microseconds) is not int or not 0 <= microseconds < 2**63:
        raise BadRequestError("the parameter 'timeout' is not a count of microseconds")
    return microseconds / 1e6 if microseconds else None
