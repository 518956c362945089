"""Shared by REST and gRPC: find the model, validate the request, run it, and make the response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nin_spec import __version__
from nin_spec.serving.batcher import Caller
from nin_spec.serving.errors import BadRequestError, GoneError, ServingError
from nin_spec.serving.metrics import Observed
from nin_spec.serving.models import Repository, Served
from nin_spec.serving.protocol import InferRequest, InferResponse, RequestedOutput, Tensor, TensorSpec
from nin_spec.serving.tensors import Array, Shape

RANKED = "top_probabilities"
"""The name of the best classes' probabilities in `export --outputs top5`, best first."""
EXTENSIONS = ("classification", "binary_tensor_data")


@dataclass(eq=False)
class Service:
    """The protocol's six calls on values. `timeout` limits a request's wait in seconds; it may set less."""

    repository: Repository
    timeout: float | None = 30.0
    draining: bool = field(default=False, init=False)

    def live(self) -> bool:
        """Whether the process responds."""
        return True

    def ready(self, model: str = "", version: str = "") -> bool:
        """Whether the server, or a model, takes requests. Raises NotFoundError for an unknown model."""
        if model:
            self.repository.find(model, version)
        return not self.draining

    def metadata(self) -> dict[str, Any]:
        """The server's metadata."""
        return {"name": "nin-spec", "version": __version__, "extensions": list(EXTENSIONS)}

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """A model's metadata. Raises NotFoundError."""
        served = self.repository.find(model, version)
        return {
            "name": served.name,
            "versions": self.repository.versions(model),
            "platform": "onnxruntime_onnx",
            "inputs": [spec.as_dict() for spec in served.engine.inputs],
            "outputs": [spec.as_dict() for spec in served.engine.outputs],
        }

    def observe(self) -> Mapping[tuple[str, str], Observed]:
        """The state for /metrics."""
        return {key: Observed(s.statistics, s.batcher.pending) for key, s in self.repository.all().items()}

    def admit(self, model: str, version: str = "") -> Served:
        """A model whose queue has room: under overload, requests are rejected before they are read.

        Raises NotFoundError or OverloadedError.
        """
        served = self.repository.find(model, version)
        try:
            served.batcher.admit()
        except ServingError as error:
            served.statistics.failed(error.reason)
            raise
        return served

    async def infer(self, served: Served, request: InferRequest, caller: Caller | None = None) -> InferResponse:
        """Run a request, possibly with others, on the model that admitted it.

        Raises ServingError. A reload may have replaced the model since.
        """
        begun, served = time.perf_counter(), self.repository.now(served)
        try:
            arrays = fit(served, request)
            wanted = wanted_outputs(served, request)
            found = await served.batcher.submit(arrays, self._patience(request), caller)
        except ServingError as error:
            served.statistics.failed(error.reason)
            raise
        except asyncio.CancelledError:  # gRPC cancels a call's task when its client leaves, or its deadline passes
            served.statistics.failed(GoneError.reason)
            served.batcher.sweep()
            raise
        outputs = tuple(_output(served, output, found[index]) for index, output in wanted)
        served.statistics.success += 1
        served.statistics.request += time.perf_counter() - begun
        return InferResponse(served.name, served.version, request.id, outputs)

    def _patience(self, request: InferRequest) -> float | None:
        """Seconds that a request may wait. As in Triton, a client can request less than the server's limit, not more.

        Model configuration, ModelQueuePolicy.allow_timeout_override.
        """
        given = [seconds for seconds in (request.timeout, self.timeout) if seconds]
        return min(given, default=None)


def fit(served: Served, request: InferRequest) -> Sequence[Array]:
    """The request's arrays in the model's order. Raises BadRequestError if they don't match its declaration."""
    specs, given = served.engine.inputs, request.inputs
    if len(given) != len(specs):
        raise BadRequestError(f"the model {served.name!r} has {len(specs)} inputs, but {len(given)} were sent")
    if len(specs) > 1:
        by_name = {tensor.name: tensor for tensor in given}
        given = tuple(by_name[spec.name] for spec in specs if spec.name in by_name)
    if [t.name for t in given] != [s.name for s in specs]:
        names = ", ".join(repr(spec.name) for spec in specs)
        raise BadRequestError(f"the inputs of {served.name!r} are {names}, not {request.inputs[0].name[:64]!r}")
    for spec, tensor in zip(specs, given, strict=True):
        _check(served, spec, tensor)
    if len({len(tensor.array) for tensor in given}) != 1:
        raise BadRequestError("the inputs have different numbers of rows")
    return [tensor.array for tensor in given]


def _check(served: Served, spec: TensorSpec, tensor: Tensor) -> None:
    shape = tensor.array.shape
    if tensor.datatype != spec.datatype:
        raise BadRequestError(f"input {spec.name!r} is {spec.datatype}, but {tensor.datatype} was sent")
    if not _fits(shape, spec.shape):
        raise BadRequestError(f"input {spec.name!r} has shape {list(spec.shape)}, but {list(shape)} was sent")
    most = served.opened.most
    if spec.shape[0] == -1 and shape[0] > most:
        raise BadRequestError(f"{shape[0]} rows exceed the limit of {most} per request")


def _fits(shape: Shape, declared: Shape) -> bool:
    """Whether a shape matches the declared one, and is not empty."""
    if len(shape) != len(declared) or 0 in shape:
        return False
    return all(d in (-1, n) for d, n in zip(declared, shape, strict=True))


def wanted_outputs(served: Served, request: InferRequest) -> list[tuple[int, RequestedOutput]]:
    """Each requested output, with its index in a run's results. Raises BadRequestError."""
    specs = served.engine.outputs
    if not request.outputs:
        return [(index, RequestedOutput(spec.name)) for index, spec in enumerate(specs)]
    places = {spec.name: index for index, spec in enumerate(specs)}
    wanted: list[tuple[int, RequestedOutput]] = []
    for output in request.outputs:
        if output.name not in places:
            raise BadRequestError(f"the model {served.name!r} has no output {output.name[:64]!r}")
        index = places[output.name]
        if output.classification and not _has_scores(specs[index]):
            raise BadRequestError(f"the output {output.name!r} has no scores for classification")
        wanted.append((index, output))
    return wanted


def _has_scores(spec: TensorSpec) -> bool:
    """Whether positions in an output are classes: not in one that is already ranked."""
    return len(spec.shape) >= 2 and spec.datatype.startswith("FP") and spec.name != RANKED


def _output(served: Served, output: RequestedOutput, array: Array) -> Tensor:
    if output.classification:
        array = classification(array, output.classification, served.engine.info.labels)
    return Tensor(output.name, array)


def classification(scores: Array, best: int, labels: Sequence[str]) -> Array:
    """Each row's best classes, best first, in Triton's format: `value:index:label`."""
    flat = scores.reshape(len(scores), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :best]
    named = labels if len(labels) == flat.shape[1] else ()
    texts = np.empty(order.shape, object)
    for row, column in np.ndindex(*order.shape):
        index = int(order[row, column])
        label = f":{named[index]}" if named else ""
        texts[row, column] = f"{flat[row, index]:f}:{index}{label}".encode()
    return texts
