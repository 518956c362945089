"""The routes. The infer path goes directly to its endpoint, Starlette routes the others."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nin_spec.explanation.result import TOP
from nin_spec.serving.batcher import Caller
from nin_spec.serving.errors import ForbiddenError, NotFoundError, ServingError, UnauthorizedError
from nin_spec.serving.http.guard import Guard
from nin_spec.serving.http.labelling import Classify, Prepared, count_of, width_of
from nin_spec.serving.http.openapi import document
from nin_spec.serving.http.page import html
from nin_spec.serving.http.rest import CALLER, INFER, Infer, Scope, Send, refusal, request_id, respond
from nin_spec.serving.limits import MemoryBudget, Receive, Reservation
from nin_spec.serving.logs import logger, tell_failure
from nin_spec.serving.metrics import exposition
from nin_spec.serving.models import Served
from nin_spec.serving.service import Service

_OPEN = {"/v2/health/live", "/v2/health/ready", "/"}
"""Paths that need no token: probes send none, and the page has no model data."""
_MODEL = "/v2/models/{model}"


@dataclass(eq=False)
class App:
    """The ASGI application."""

    service: Service
    budget: MemoryBudget
    token: bytes | None = None
    guard: Guard = Guard()

    def __post_init__(self) -> None:
        self._infer = Infer(self.service, self.budget)
        self._classify = Classify(self.service)
        self._others = Starlette(
            routes=self._routes(),
            exception_handlers={ServingError: _refused, HTTPException: _no_such, Exception: _failed},
        )
        self._others.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if (reason := self.guard.refusal(scope["method"], scope["headers"])) is not None:
            error: ServingError = ForbiddenError(reason)
            await respond(_labelled(send, request_id(dict(scope["headers"]))), error.status, *refusal(error))
        elif self.token is not None and path not in _OPEN and not self._known(scope):
            error = UnauthorizedError("this server requires its token: Authorization: Bearer TOKEN")
            await respond(_labelled(send, request_id(dict(scope["headers"]))), error.status, *refusal(error))
        elif scope["method"] == "POST" and (match := INFER.fullmatch(path)):
            await self._infer(scope, receive, send, match[1], match[2] or "")
        else:
            if len(path) > 1 and path.endswith("/"):
                scope["path"] = path[:-1]  # the protocol's document has /v2/
            await self._otherwise(scope, receive, send)

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette's routes. For an unexpected error it sends a response, and then raises."""
        identity = request_id(dict(scope["headers"]))
        scope["state"] = {**scope.get("state", {}), "identity": identity}
        try:
            await self._others(scope, receive, _labelled(send, identity))
        except Exception:  # noqa: BLE001 it is logged, and the client has a response
            logger.exception("an error in the server", extra={"request": identity.decode()})

    def _known(self, scope: Scope) -> bool:
        scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self.token or b"")

    def _routes(self) -> list[Route]:
        routes = [
            Route("/", self._page),
            Route("/openapi.json", self._openapi),
            Route("/metrics", self._metrics),
            Route("/v2", self._server),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route("/v2/models", self._models),
        ]
        for prefix in (_MODEL, _MODEL + "/versions/{version}"):
            routes += [
                Route(prefix, self._model),
                Route(f"{prefix}/ready", self._model_ready),
                Route(f"{prefix}/table", self._table),
                Route(f"{prefix}/diagram", self._diagram),
                Route(f"{prefix}/classify", self._classified, methods=["POST"]),
                Route(f"{prefix}/explain", self._explained, methods=["POST"]),
                Route(f"{prefix}/infer", self._never, methods=["POST"]),
            ]
        return routes

    # -------------------------------------------------------------- the protocol

    async def _server(self, request: Request) -> Response:
        return _json(self.service.metadata())

    async def _live(self, request: Request) -> Response:
        return _json({"live": self.service.live()})

    async def _ready(self, request: Request) -> Response:
        ready = self.service.ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def _model(self, request: Request) -> Response:
        return _json(self.service.model_metadata(*_named(request)))

    async def _model_ready(self, request: Request) -> Response:
        name, version = _named(request)
        ready = self.service.ready(name, version)
        return _json({"name": name, "ready": ready}, 200 if ready else 503)

    async def _never(self, request: Request) -> Response:
        """Infer by POST is handled before Starlette; this route is for the responses to other methods."""
        raise NotFoundError("path not found")

    # -------------------------------------------------------------- beside the protocol

    async def _page(self, request: Request) -> Response:
        body, headers = html()
        return Response(body, media_type="text/html", headers=headers)

    async def _openapi(self, request: Request) -> Response:
        return _json(document(self.service.repository.all()))

    async def _metrics(self, request: Request) -> Response:
        return Response(exposition(self.service.observe()), media_type="text/plain; version=0.0.4")

    async def _models(self, request: Request) -> Response:
        return _json({"models": [{"name": n, "version": v} for n, v in self.service.repository.all()]})

    async def _table(self, request: Request) -> Response:
        return _json(await self._classify.table(*_named(request)))

    async def _diagram(self, request: Request) -> Response:
        width = width_of(request.query_params.get("width", "1120"))
        drawn = await self._classify.diagram(*_named(request), width)
        return Response(drawn, media_type="image/svg+xml", headers={"x-content-type-options": "nosniff"})

    async def _classified(self, request: Request) -> Response:
        best = request.query_params.get("top", "5")
        async with self._pictured(request, lambda: count_of(best)) as (served, given, caller):
            return _json(await self._classify(served, given, count_of(best), caller))

    async def _explained(self, request: Request) -> Response:
        wanted = request.query_params.getlist("class") or [TOP]
        shown = request.query_params.get("picture", "false") == "true"
        async with self._pictured(request) as (served, given, caller):
            return _json(await self._classify.explain(served, given, wanted, caller, picture=shown))

    @asynccontextmanager
    async def _pictured(
        self, request: Request, check: Callable[[], object] = lambda: None
    ) -> AsyncIterator[tuple[Served, Prepared, Caller | None]]:
        """The model, the picture in the body as its input, and the caller, once `check` has passed."""
        served, reservation = self.service.admit(*_named(request)), Reservation(self.budget)
        try:
            with served.statistics.refusals():
                picture = await reservation.read(request.receive, dict(request.scope["headers"]))
                check()
                served, given = await self._classify.input(served, picture, reservation)
                reservation.turn_into(given.nbytes)
            yield served, given, request.scope.get("extensions", {}).get(CALLER)
        finally:
            reservation.release()


def _labelled(send: Send, identity: bytes) -> Send:
    """Wrap `send` to add the request's id to the response."""

    async def labelled(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-request-id", identity)]
        await send(message)

    return labelled


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["model"], request.path_params.get("version", "")


def _json(data: Any, status: int = 200) -> Response:
    return JSONResponse(data, status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)  # noqa: S101 registered for these
    tell_failure(error, request.state.identity.decode())
    body, headers = refusal(error)
    return _error_response(body, error.status, headers)


async def _no_such(request: Request, error: Exception) -> Response:
    """404 and 405 of the router."""
    assert isinstance(error, HTTPException)  # noqa: S101 registered for these
    what = {404: "path not found", 405: f"{request.method} is not allowed on this path"}
    body = json.dumps({"error": what.get(error.status_code, error.detail)}).encode()
    extra = [(k.encode(), v.encode()) for k, v in (error.headers or {}).items()]
    return _error_response(body, error.status_code, extra)


async def _failed(_: Request, __: Exception) -> Response:
    return _error_response(b'{"error":"an internal error; see the server log"}', 500, [])


def _error_response(body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> Response:
    found = {k.decode(): v.decode() for k, v in headers if k != b"content-type"}
    return Response(body, status, found, "application/json")
