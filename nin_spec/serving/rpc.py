"""The protocol over gRPC: the six calls and the standard health check, on the Service that REST stands on.

A call that is cancelled, or whose deadline passes, is dropped from the queue: grpc cancels our task, and the batcher
runs nothing for a future that is done.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from nin_spec.diagnostics import Code, Diagnostic, InputError
from nin_spec.serving.errors import FailedError, NotFoundError, OverloadedError, ServingError, UnauthorizedError
from nin_spec.serving.grpc_messages import read_message, write_message
from nin_spec.serving.logs import logger
from nin_spec.serving.proto import messages as pb
from nin_spec.serving.service import Service

Call = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
_OPEN = {"ServerLive", "ServerReady", "Check"}
"""Calls that need no token: probes bring none."""
_SERVING, _NOT_SERVING = 1, 2
_STREAMS = 1024
"""Calls that one connection may have under way."""


@dataclass(eq=False)
class Calls:
    """The protocol's calls, by their names. Each takes a message and gives one, or raises ServingError."""

    service: Service

    async def ServerLive(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=self.service.live())

    async def ServerReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether it takes requests."""
        return pb.ServerReadyResponse(ready=self.service.ready())

    async def ModelReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """Whether a model takes requests; one that isn't there is not ready, as Triton has it."""
        try:
            ready = self.service.ready(request.name, request.version)
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
        """Run a model."""
        if self.service.draining:
            raise OverloadedError("the server is closing", retry_after=1)
        served = self.service.admit(request.model_name, request.model_version)
        response = await self.service.infer(served, read_message(request))
        return write_message(response)


@dataclass(eq=False)
class Health:
    """grpc.health.v1, which Kubernetes asks. Its two messages are one field each, as protobuf's own wrappers are."""

    service: Service

    async def Check(self, request: StringValue, context: grpc.aio.ServicerContext) -> Int32Value:  # noqa: N802
        """SERVING until the server drains. Raises NotFoundError for a service that isn't here."""
        if request.value not in {"", SERVICE}:
            raise NotFoundError(f"there is no service {request.value[:128]!r}")
        return Int32Value(value=_SERVING if self.service.ready() else _NOT_SERVING)


def guarded(name: str, call: Call, token: bytes | None) -> Call:
    """A call that asks for the token, and whose errors are gRPC's codes."""

    async def guard(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            if token is not None and name not in _OPEN:
                _check_token(context, token)
            return await call(request, context)
        except ServingError as error:
            refused = error
        except Exception:  # noqa: BLE001 whatever it is, the client is told, and the log has it
            logger.exception("an error in the server", extra={"call": name})
            refused = FailedError("an error in the server; its log says more")
        if refused.retry_after is not None:
            context.set_trailing_metadata((("retry-after", str(refused.retry_after)),))
        return await context.abort(grpc.StatusCode[refused.grpc], refused.message)

    return guard


def _check_token(context: grpc.aio.ServicerContext, token: bytes) -> None:
    given = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    scheme, _, word = given.encode().partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(word.strip(), token):
        raise UnauthorizedError("this server asks for its token: authorization: Bearer TOKEN")


def _handlers(calls: object, token: bytes | None, kinds: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {
        name: grpc.unary_unary_rpc_method_handler(
            guarded(name, getattr(calls, name), token), taken.FromString, given.SerializeToString
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

    async def stop(self, seconds: float) -> None:
        """Refuse new calls, let those under way end, for so long at most."""
        await self.server.stop(seconds)


async def listen(service: Service, host: str, port: int, *, body: int, token: bytes | None = None) -> Rpc:
    """Serve on a port, 0 for a free one, messages of `body` bytes at most. Raises InputError for one that is taken."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.so_reuseport", 0),
        ]
    )
    health = {"Check": (StringValue, Int32Value)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, _handlers(Calls(service), token, kinds())),
            grpc.method_handlers_generic_handler(HEALTH, _handlers(Health(service), token, health)),
        )
    )
    where = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{where}:{port}")
    except RuntimeError:
        message = f"{where}:{port} can't be listened on: it is taken, not an address of this machine, or not allowed"
        raise InputError(Diagnostic(Code.INPUT_UNUSABLE, message, hint="say another --grpc-port or --host")) from None
    await server.start()
    return Rpc(server, f"grpc://{where}:{bound}")
