"""What REST and gRPC share: which model, does the request fit it, run it, and what the answer holds."""

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
"""What `export --outputs top5` calls the probabilities of the best classes, best first."""
EXTENSIONS = ("classification", "binary_tensor_data")


@dataclass(eq=False)
class Service:
    """The protocol's six calls on values. `timeout` is the most seconds that a request waits; it may ask for fewer."""

    repository: Repository
    timeout: float | None = 30.0
    draining: bool = field(default=False, init=False)

    def live(self) -> bool:
        """Whether the process answers."""
        return True

    def ready(self, model: str = "", version: str = "") -> bool:
        """Whether the server, or a model, takes requests. Raises NotFoundError for a model that isn't there."""
        if model:
            self.repository.find(model, version)
        return not self.draining

    def metadata(self) -> dict[str, Any]:
        """The server."""
        return {"name": "nin-spec", "version": __version__, "extensions": list(EXTENSIONS)}

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """A model. Raises NotFoundError."""
        served = self.repository.find(model, version)
        return {
            "name": served.name,
            "versions": self.repository.versions(model),
            "platform": "onnxruntime_onnx",
            "inputs": [spec.as_dict() for spec in served.engine.inputs],
            "outputs": [spec.as_dict() for spec in served.engine.outputs],
        }

    def observe(self) -> Mapping[tuple[str, str], Observed]:
        """What /metrics shows."""
        return {key: Observed(s.statistics, s.batcher.pending) for key, s in self.repository.all().items()}

    def admit(self, model: str, version: str = "") -> Served:
        """A model whose queue has room: under overload, what would only be refused is not even read.

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
        """Run a request, perhaps with others, on the model that it was admitted to. Raises ServingError.

        A reload may have put another in its place since.
        """
        begun, served = time.perf_counter(), self.repository.now(served)
        try:
            arrays = fit(served, request)
            wanted = wanted_outputs(served, request)
            found = await served.batcher.submit(arrays, self._patience(request), caller)
        except ServingError as error:
            served.statistics.failed(error.reason)
            raise
        except asyncio.CancelledError:  # gRPC ends a call's task when its client leaves, or its deadline passes
            served.statistics.failed(GoneError.reason)
            served.batcher.sweep()
            raise
        outputs = tuple(_output(served, output, found[index]) for index, output in wanted)
        served.statistics.success += 1
        served.statistics.request += time.perf_counter() - begun
        return InferResponse(served.name, served.version, request.id, outputs)

    def _patience(self, request: InferRequest) -> float | None:
        """Seconds that a request may wait. As Triton has it, a client can ask for less than the server's, not for more.

        Model configuration, ModelQueuePolicy.allow_timeout_override.
        """
        given = [seconds for seconds in (request.timeout, self.timeout) if seconds]
        return min(given, default=None)


def fit(served: Served, request: InferRequest) -> Sequence[Array]:
    """The request's arrays in the model's order. Raises BadRequestError for what the model doesn't declare."""
    specs, given = served.engine.inputs, request.inputs
    if len(given) != len(specs):
        raise BadRequestError(f"the model {served.name!r} has {len(specs)} inputs, and {len(given)} were given")
    if len(specs) > 1:
        by_name = {tensor.name: tensor for tensor in given}
        given = tuple(by_name[spec.name] for spec in specs if spec.name in by_name)
    if [t.name for t in given] != [s.name for s in specs]:
        names = ", ".join(repr(spec.name) for spec in specs)
        raise BadRequestError(f"the inputs of {served.name!r} are {names}, not {request.inputs[0].name[:64]!r}")
    for spec, tensor in zip(specs, given, strict=True):
        _check(served, spec, tensor)
    if len({len(tensor.array) for tensor in given}) != 1:
        raise BadRequestError("the inputs don't have one number of rows")
    return [tensor.array for tensor in given]


def _check(served: Served, spec: TensorSpec, tensor: Tensor) -> None:
    shape = tensor.array.shape
    if tensor.datatype != spec.datatype:
        raise BadRequestError(f"input {spec.name!r} is {spec.datatype}, and {tensor.datatype} was given")
    if not _fits(shape, spec.shape):
        raise BadRequestError(f"input {spec.name!r} has shape {list(spec.shape)}, and {list(shape)} was given")
    most = served.opened.most
    if spec.shape[0] == -1 and shape[0] > most:
        raise BadRequestError(f"{shape[0]} rows are more than the {most} that a request may have")


def _fits(shape: Shape, declared: Shape) -> bool:
    """Whether a shape is one that the model declares, and not empty."""
    if len(shape) != len(declared) or 0 in shape:
        return False
    return all(d in (-1, n) for d, n in zip(declared, shape, strict=True))


def wanted_outputs(served: Served, request: InferRequest) -> list[tuple[int, RequestedOutput]]:
    """Each output asked for, with its place in a run's results. Raises BadRequestError."""
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
            raise BadRequestError(f"the output {output.name!r} holds no scores to take the best classes of")
        wanted.append((index, output))
    return wanted


def _has_scores(spec: TensorSpec) -> bool:
    """Whether places in an output are classes: not in one that is ranked already."""
    return len(spec.shape) >= 2 and spec.datatype.startswith("FP") and spec.name != RANKED


def _output(served: Served, output: RequestedOutput, array: Array) -> Tensor:
    if output.classification:
        array = classification(array, output.classification, served.engine.info.labels)
    return Tensor(output.name, array)


def classification(scores: Array, best: int, labels: Sequence[str]) -> Array:
    """Each row's best classes, best first, as Triton writes them: `value:index:label`."""
    flat = scores.reshape(len(scores), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :best]
    named = labels if len(labels) == flat.shape[1] else ()
    texts = np.empty(order.shape, object)
    for row, column in np.ndindex(*order.shape):
        index = int(order[row, column])
        label = f":{named[index]}" if named else ""
        texts[row, column] = f"{flat[row, index]:f}:{index}{label}".encode()
    return texts
