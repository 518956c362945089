"""A service for the tests of gRPC, which gives back what it is given, and how it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from nin_spec.serving import errors
from nin_spec.serving.grpc.proto import messages as pb
from nin_spec.serving.grpc.rpc import Interceptor, kinds, listen
from nin_spec.serving.limits import MemoryBudget
from nin_spec.serving.metrics import Statistics
from nin_spec.serving.protocol import InferRequest, InferResponse

MIB = 1 << 20


@dataclass
class Fake:
    """A service that gives back what it is given, or does what `then` says."""

    then: Callable[[], Awaitable[None]] | None = None
    draining: bool = False
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def live(self) -> bool:
        return True

    def ready(self, model: str = "", version: str = "") -> bool:
        if model not in {"", "probe"}:
            raise errors.NotFoundError("no")
        return not self.draining

    def metadata(self) -> dict[str, Any]:
        return {"name": "fake", "version": "1", "extensions": ["classification", "binary_tensor_data"]}

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        tensor = {"name": "input", "datatype": "FP32", "shape": [-1, 3]}
        return {"name": model, "versions": ["1"], "platform": "p", "inputs": [tensor], "outputs": [tensor]}

    statistics: Statistics = field(default_factory=Statistics)

    def admit(self, model: str, version: str = "") -> SimpleNamespace:
        return SimpleNamespace(name=model, version=version, statistics=self.statistics)

    async def infer(self, served: SimpleNamespace, request: InferRequest) -> InferResponse:
        self.began.set()
        if self.then is not None:
            try:
                await self.then()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return InferResponse(served.name, served.version or "1", request.id, request.inputs)


def request(array: np.ndarray | None = None, **more: Any) -> Any:
    """A request for the fake, raw."""
    array = np.ones((1, 3), np.float32) if array is None else array
    tensor = pb.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=array.shape)
    facts = {"model_name": "probe", "inputs": [tensor], "raw_input_contents": [array.tobytes()], **more}
    return pb.ModelInferRequest(**facts)


Session = Callable[[grpc.aio.Channel], Awaitable[None]]


def on_server(service: Fake, session: Session, *, body: int = MIB, token: bytes | None = None) -> None:
    """Serve it, and let a client talk to it."""

    async def both() -> None:
        rpc = await listen(service, Interceptor(MemoryBudget(body), token), "127.0.0.1", 0)  # type: ignore[arg-type]
        options = [("grpc.max_receive_message_length", -1)]
        try:
            async with grpc.aio.insecure_channel(rpc.address.removeprefix("grpc://"), options=options) as channel:
                await session(channel)
        finally:
            await rpc.stop(1)

    asyncio.run(both())


def call(channel: grpc.aio.Channel, name: str = "ModelInfer") -> Any:
    """A call of the protocol, by its name."""
    taken, given_back = kinds()[name]
    path = f"/inference.GRPCInferenceService/{name}"
    return channel.unary_unary(path, taken.SerializeToString, given_back.FromString)


def refused(service: Fake, code: str, message: Any = None, **server: Any) -> grpc.aio.AioRpcError:
    """The error that an inference ends with."""
    caught: list[grpc.aio.AioRpcError] = []

    async def session(channel: grpc.aio.Channel) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(channel)(request() if message is None else message, timeout=60)
        caught.append(error.value)

    on_server(service, session, **server)
    assert caught[0].code().name == code
    return caught[0]
