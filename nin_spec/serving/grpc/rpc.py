"""The protocol over gRPC: the six calls and the standard health check, on the same Service as REST.

A call that is cancelled, or whose deadline passes, is dropped from the queue: grpc cancels our task, and the batcher
runs nothing for a future that is done.

Each call is registered as stream-unary, and reads one message of the stream, which is the same on the wire: so a call
without the token is rejected before its message is read. A message counts toward the memory budget once it has arrived;
grpc does not announce its size, so only a few are read at a time. Nothing that outlives a call may refer to its
message, for example in a cycle with an exception's frames: it would stay in memory until Python's garbage collection.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from nin_spec.diagnostics import Code, InputError
from nin_spec.serving.errors import (
    BadRequestError,
    FailedError,
    NotFoundError,
    OverloadedError,
    ServingError,
    SlowError,
    UnauthorizedError,
)
from nin_spec.serving.grpc.messages import check_fields, read_message, write_message
from nin_spec.serving.grpc.proto import messages as pb
from nin_spec.serving.limits import LARGE, MemoryBudget, Reservation
from nin_spec.serving.logs import logger, tell_failure
from nin_spec.serving.protocol import InferRequest
from nin_spec.serving.service import Service

Call = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
_OPEN = {"ServerLive", "ServerReady", "Check"}
"""Calls that need no token: probes send none."""
_SERVING, _NOT_SERVING = 1, 2
_STREAMS = 1024
"""Limit of concurrent calls per connection."""
_EMPTY = {"ServerLive", "ServerReady"}
"""Calls whose messages are empty, and not read, so that probes always get a response."""
_READS = 32
"""Messages that are read concurrently."""
_LARGE = "ModelInfer"
"""The call with large messages."""
_SMALL = 2.0
"""Timeout in seconds for the message of any other call."""
_LAST = 0.3
"""Seconds before the end in which new calls are rejected: grpc silently cancels calls that it has accepted by then."""


@dataclass(eq=False)
class Calls:
    """The protocol's calls, by name. Each takes a message and returns one, or raises ServingError."""

    service: Service
    budget: MemoryBudget

    async def ServerLive(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether the process responds."""
        return pb.ServerLiveResponse(live=self.service.live())

    async def ServerReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether it takes requests."""
        return pb.ServerReadyResponse(ready=self.service.ready())

    async def ModelReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether a model takes requests; an unknown one is not ready, as in Triton."""
        try:
            ready = bool(request.name) and self.service.ready(request.name, request.version)
        except NotFoundError:
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Name, version, extensions; the binary extension is REST's."""
        facts = self.service.metadata()
        extensions = [name for name in facts["extensions"] if name != "binary_tensor_data"]
        return pb.ServerMetadataResponse(**{**facts, "extensions": extensions})

    async def ModelMetadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """A model's versions, inputs and outputs."""
        return pb.ModelMetadataResponse(**self.service.model_metadata(request.name, request.version))

    async def ModelInfer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Run a model. Once the server drains, grpc accepts no new calls, and accepted ones are processed."""
        served = self.service.admit(request.model_name, request.model_version)
        with served.statistics.refusals():
            asked = await self._read(request)
        return write_message(await self.service.infer(served, asked))

    async def _read(self, request: Any) -> InferRequest:
        if request.ByteSize() > LARGE:
            return await self.budget.aside(read_message, request)
        return read_message(request)


@dataclass(eq=False)
class Health:
    """grpc.health.v1, for Kubernetes probes. Its two messages have one field each, like protobuf's wrappers."""

    service: Service

    async def Check(self, request: StringValue, context: grpc.aio.ServicerContext) -> Int32Value:  # noqa: N802
        """SERVING until the server drains. Raises NotFoundError for an unknown service."""
        if request.value not in {"", SERVICE}:
            raise NotFoundError(f"unknown service {request.value[:128]!r}")
        return Int32Value(value=_SERVING if self.service.ready() else _NOT_SERVING)


@dataclass(eq=False)
class Interceptor:
    """Checks every call: the token, and the shared memory budget.

    `patience` is the timeout to send one. `closing` rejects new inferences; `under_way` counts the calls in progress.
    """

    budget: MemoryBudget
    token: bytes | None = None
    patience: float = 30.0
    closing: bool = field(default=False, init=False)
    under_way: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._reads = asyncio.Semaphore(_READS)

    async def intercept(self, name: str, reservation: Reservation, kind: Any, context: Any) -> Any:
        """Read the call's message. Raises ServingError."""
        if self.closing and name == _LARGE:
            raise OverloadedError("the server is closing", retry_after=1)
        if self.token is not None and name not in _OPEN:
            _check_token(context, self.token)
        if name in _EMPTY:
            return kind()
        data = await (self._large(context) if name == _LARGE else self._small(context))
        reservation.grow(len(data))
        check_fields(data, kind.DESCRIPTOR)
        try:
            return kind.FromString(data)
        except DecodeError as error:
            raise BadRequestError(f"the message can't be read: {error}") from None

    async def _large(self, context: Any) -> bytes:
        its_turn = False
        try:
            async with asyncio.timeout(self.patience), self._reads:
                its_turn = True
                return await _read(context)
        except TimeoutError:
            if not its_turn:
                raise OverloadedError("too many calls are being read", retry_after=1) from None
            raise SlowError(f"the request did not arrive within {self.patience:g} seconds") from None

    async def _small(self, context: Any) -> bytes:
        seconds = min(_SMALL, self.patience)
        try:
            async with asyncio.timeout(seconds):
                return await _read(context)
        except TimeoutError:
            raise SlowError(f"the request did not arrive within {seconds:g} seconds") from None


async def _read(context: Any) -> bytes:
    """Read the call's message. Not by grpc's iterator, which keeps it until Python's garbage collection."""
    data: Any = await context.read()
    if data is grpc.aio.EOF:
        raise BadRequestError("the call has no message")
    found: bytes = data
    return found


def guarded(name: str, call: Call, interceptor: Interceptor, kind: Any) -> Call:
    """Wrap a call in the interceptor, and map its errors to gRPC's codes."""

    async def guard(_: Any, context: grpc.aio.ServicerContext) -> Any:
        reservation, identity, message = Reservation(interceptor.budget), name, None
        interceptor.under_way += 1
        try:
            message = await interceptor.intercept(name, reservation, kind, context)
            identity = getattr(message, "id", "") or name
            return await call(message, context)
        except ServingError as error:
            tell_failure(error, identity)
            refused = _error_of(error)
        except Exception:  # noqa: BLE001 any error is reported to the client, and logged
            logger.exception("an error in the server", extra={"request": identity})
            refused = _error_of(FailedError("an internal error; see the server log"))
        finally:
            reservation.release()
            interceptor.under_way -= 1
            message = None  # grpc's abort keeps this frame for a while
        code, text, trailing = refused
        context.set_trailing_metadata(trailing)
        return await context.abort(code, text)

    return guard


def _error_of(error: ServingError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """The client's error message, without the exception, whose frames refer to the call's message."""
    trailing = () if error.retry_after is None else (("retry-after", str(error.retry_after)),)
    return grpc.StatusCode[error.grpc], error.message, trailing


def _check_token(context: grpc.aio.ServicerContext, token: bytes) -> None:
    given = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    scheme, _, word = given.encode().partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(word.strip(), token):
        raise UnauthorizedError("this server requires its token: authorization: Bearer TOKEN")


def _handlers(calls: object, interceptor: Interceptor, kinds: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {
        name: grpc.stream_unary_rpc_method_handler(
            guarded(name, getattr(calls, name), interceptor, taken), None, given.SerializeToString
        )
        for name, (taken, given) in kinds.items()
    }


def kinds() -> dict[str, tuple[Any, Any]]:
    """Each call of the protocol with its request and response messages."""
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    return {m.name: (getattr(pb, m.input_type.name), getattr(pb, m.output_type.name)) for m in methods}


@dataclass(eq=False)
class Rpc:
    """A listening gRPC server and its `address`."""

    server: grpc.aio.Server
    address: str
    interceptor: Interceptor

    async def stop(self, seconds: float) -> None:
        """Reject new calls, and wait at most `seconds` for those in progress."""
        self.interceptor.closing = True
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (waited := loop.time() - begun) < seconds and (  # noqa: ASYNC110 calls may start meanwhile
            self.interceptor.under_way or waited < _LAST
        ):
            await asyncio.sleep(0.02)
        await self.server.stop(_LAST)  # for the last responses to be sent


async def listen(service: Service, interceptor: Interceptor, host: str, port: int) -> Rpc:
    """Serve on a port (0 for a free one), with HTTP's limit on messages. Raises InputError for a port in use."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", interceptor.budget.body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.so_reuseport", 0),
        ]
    )
    health = {"Check": (StringValue, Int32Value)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                SERVICE, _handlers(Calls(service, interceptor.budget), interceptor, kinds())
            ),
            grpc.method_handlers_generic_handler(HEALTH, _handlers(Health(service), interceptor, health)),
        )
    )
    where = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{where}:{port}")
    except RuntimeError:
        message = f"can't listen on {where}:{port}: in use, not an address of this machine, or not permitted"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="pass another --grpc-port or --host") from None
    await server.start()
    return Rpc(server, f"grpc://{where}:{bound}", interceptor)
