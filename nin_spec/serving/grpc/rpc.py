"""The protocol over gRPC: the six calls and the standard health check, on the Service that REST stands on.

A call that is cancelled, or whose deadline passes, is dropped from the queue: grpc cancels our task, and the batcher
runs nothing for a future that is done.

Each call is registered as one that takes a stream, of which it reads one message: on the wire that is the same, and
so a call without the token is refused before its message is read. A message counts in the memory that requests may
hold as soon as it is there; how large one will be, grpc doesn't say, and so few are read at once. Nothing that outlives
a call may refer to its message, in a cycle with an exception's frames say: it would stay until Python looks for cycles.
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
from nin_spec.serving.limits import LARGE, Hold, Intake
from nin_spec.serving.logs import logger, tell_failure
from nin_spec.serving.protocol import InferRequest
from nin_spec.serving.service import Service

Call = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
_OPEN = {"ServerLive", "ServerReady", "Check"}
"""Calls that need no token: probes bring none."""
_SERVING, _NOT_SERVING = 1, 2
_STREAMS = 1024
"""Calls that one connection may have under way."""
_EMPTY = {"ServerLive", "ServerReady"}
"""Calls whose messages say nothing, and are not read: whatever else goes on, a probe is answered."""
_READS = 32
"""Messages that are read at once."""
_LARGE = "ModelInfer"
"""The call whose messages may be large."""
_SMALL = 2.0
"""Seconds that the message of any other call may take to come: it holds up nobody, and is not waited for."""
_LAST = 0.3
"""Seconds in which new calls are refused before the end: what grpc has taken in by then, it cancels without a word."""


@dataclass(eq=False)
class Calls:
    """The protocol's calls, by their names. Each takes a message and gives one, or raises ServingError."""

    service: Service
    intake: Intake

    async def ServerLive(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=self.service.live())

    async def ServerReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether it takes requests."""
        return pb.ServerReadyResponse(ready=self.service.ready())

    async def ModelReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether a model takes requests; one that isn't there is not ready, as Triton has it."""
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
        """Run a model. Once the server drains, grpc itself takes no new call, and those that came in are answered."""
        served = self.service.admit(request.model_name, request.model_version)
        with served.statistics.refusals():
            asked = await self._read(request)
        return write_message(await self.service.infer(served, asked))

    async def _read(self, request: Any) -> InferRequest:
        if request.ByteSize() > LARGE:
            return await self.intake.aside(read_message, request)
        return read_message(request)


@dataclass(eq=False)
class Health:
    """grpc.health.v1, which Kubernetes asks. Its two messages are one field each, as protobuf's own wrappers are."""

    service: Service

    async def Check(self, request: StringValue, context: grpc.aio.ServicerContext) -> Int32Value:  # noqa: N802
        """SERVING until the server drains. Raises NotFoundError for a service that isn't here."""
        if request.value not in {"", SERVICE}:
            raise NotFoundError(f"there is no service {request.value[:128]!r}")
        return Int32Value(value=_SERVING if self.service.ready() else _NOT_SERVING)


@dataclass(eq=False)
class Door:
    """What every call passes: the token, and the memory that all requests share. `patience` seconds to send one.

    `closing` refuses new inferences; `under_way` counts the calls that are not answered yet.
    """

    intake: Intake
    token: bytes | None = None
    patience: float = 30.0
    closing: bool = field(default=False, init=False)
    under_way: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._reads = asyncio.Semaphore(_READS)

    async def enter(self, name: str, hold: Hold, kind: Any, context: Any) -> Any:
        """The call's message. Raises ServingError."""
        if self.closing and name == _LARGE:
            raise OverloadedError("the server is closing", retry_after=1)
        if self.token is not None and name not in _OPEN:
            _check_token(context, self.token)
        if name in _EMPTY:
            return kind()
        data = await (self._large(context) if name == _LARGE else self._small(context))
        hold.grow(len(data))
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
    """The call's message. Not from grpc's iterator, which keeps what it gave until Python looks for cycles."""
    data: Any = await context.read()
    if data is grpc.aio.EOF:
        raise BadRequestError("the call holds no message")
    found: bytes = data
    return found


def guarded(name: str, call: Call, door: Door, kind: Any) -> Call:
    """A call that passes the door, and whose errors are gRPC's codes."""

    async def guard(_: Any, context: grpc.aio.ServicerContext) -> Any:
        hold, identity, message = Hold(door.intake), name, None
        door.under_way += 1
        try:
            message = await door.enter(name, hold, kind, context)
            identity = getattr(message, "id", "") or name
            return await call(message, context)
        except ServingError as error:
            tell_failure(error, identity)
            refused = _told(error)
        except Exception:  # noqa: BLE001 whatever it is, the client is told, and the log has it
            logger.exception("an error in the server", extra={"request": identity})
            refused = _told(FailedError("an error in the server; its log says more"))
        finally:
            hold.release()
            door.under_way -= 1
            message = None  # grpc's way to abort keeps this frame for a while
        code, text, trailing = refused
        context.set_trailing_metadata(trailing)
        return await context.abort(code, text)

    return guard


def _told(error: ServingError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """What the client is told, without the error itself, whose frames hold the call's message."""
    trailing = () if error.retry_after is None else (("retry-after", str(error.retry_after)),)
    return grpc.StatusCode[error.grpc], error.message, trailing


def _check_token(context: grpc.aio.ServicerContext, token: bytes) -> None:
    given = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    scheme, _, word = given.encode().partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(word.strip(), token):
        raise UnauthorizedError("this server asks for its token: authorization: Bearer TOKEN")


def _handlers(calls: object, door: Door, kinds: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {
        name: grpc.stream_unary_rpc_method_handler(
            guarded(name, getattr(calls, name), door, taken), None, given.SerializeToString
        )
        for name, (taken, given) in kinds.items()
    }


def kinds() -> dict[str, tuple[Any, Any]]:
    """Each call of the protocol with the messages that it takes and gives."""
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    return {m.name: (getattr(pb, m.input_type.name), getattr(pb, m.output_type.name)) for m in methods}


@dataclass(eq=False)
class Rpc:
    """A gRPC server that listens. `address` is where."""

    server: grpc.aio.Server
    address: str
    door: Door

    async def stop(self, seconds: float) -> None:
        """Refuse new calls, let those under way end, for so long at most."""
        self.door.closing = True
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (waited := loop.time() - begun) < seconds and (  # noqa: ASYNC110 one that ends may be followed by another
            self.door.under_way or waited < _LAST
        ):
            await asyncio.sleep(0.02)
        await self.server.stop(_LAST)  # for the last answers to leave


async def listen(service: Service, door: Door, host: str, port: int) -> Rpc:
    """Serve on a port, 0 for a free one, messages as large as HTTP's. Raises InputError for one that is taken."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", door.intake.body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.so_reuseport", 0),
        ]
    )
    health = {"Check": (StringValue, Int32Value)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, _handlers(Calls(service, door.intake), door, kinds())),
            grpc.method_handlers_generic_handler(HEALTH, _handlers(Health(service), door, health)),
        )
    )
    where = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{where}:{port}")
    except RuntimeError:
        message = f"{where}:{port} can't be listened on: it is taken, not an address of this machine, or not allowed"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="say another --grpc-port or --host") from None
    await server.start()
    return Rpc(server, f"grpc://{where}:{bound}", door)
