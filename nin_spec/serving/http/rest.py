"""POST .../infer: the fast path, from the ASGI messages to the response without a framework.

Starlette routes everything else; here its request objects, middleware and routing would cost more than parsing the
tensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from nin_spec.serving.errors import BadRequestError, GoneError, ServingError
from nin_spec.serving.http.framing import read_raw, read_request, write_response
from nin_spec.serving.limits import LARGE, MemoryBudget, Receive, Reservation
from nin_spec.serving.logs import logger, tell_failure
from nin_spec.serving.models import Served
from nin_spec.serving.protocol import InferRequest
from nin_spec.serving.service import Service

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
CALLER = "nin_spec.caller"
"""The ASGI extension that contains the server's connection object."""
_LENGTH = b"inference-header-content-length"
_JSON, _BINARY = (b"content-type", b"application/json"), (b"content-type", b"application/octet-stream")
_ID = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(eq=False)
class Infer:
    """The endpoint. Always responds: tensors, or {"error": ...}."""

    service: Service
    budget: MemoryBudget

    async def __call__(self, scope: Scope, receive: Receive, send: Send, model: str, version: str) -> None:
        headers = dict(scope["headers"])
        identity = request_id(headers)
        reservation = Reservation(self.budget)
        connection = scope.get("extensions", {}).get(CALLER)
        try:
            status = 200
            served = self.service.admit(model, version)
            with served.statistics.refusals():
                body = await reservation.read(receive, headers)
                request = await self._read(served, body, _header_length(headers.get(_LENGTH)))
            response = await self.service.infer(served, request, connection)
            body, extra = _written(*write_response(response, request))
        except GoneError:
            return  # the client is gone
        except ServingError as error:
            tell_failure(error, identity.decode())
            status, (body, extra) = error.status, refusal(error)
        except Exception:  # noqa: BLE001 it is logged, and reported to the client
            logger.exception("an error in the server", extra={"request": identity.decode()})
            status, body, extra = 500, b'{"error":"an internal error; see the server log"}', [_JSON]
        finally:
            reservation.release()
        lines = [*extra, (b"x-request-id", identity)]
        await (connection.answer(status, lines, body) if connection else respond(send, status, body, lines))

    async def _read(self, served: Served, body: bytes, length: int | None) -> InferRequest:
        if length == 0 and len(served.engine.inputs) == 1:
            return read_raw(body, served.engine.inputs[0])
        if len(body) > LARGE:
            return await self.budget.aside(read_request, body, length)
        return read_request(body, length)


def _written(body: bytes, length: int | None) -> tuple[bytes, Headers]:
    if length is None:
        return body, [_JSON]
    return body, [_BINARY, (_LENGTH, b"%d" % length)]


def _header_length(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise BadRequestError("the header Inference-Header-Content-Length is not a count of bytes")
    return int(text)


# ------------------------------------------------------------------ shared by all routes


async def respond(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a complete response."""
    lines = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def refusal(error: ServingError) -> tuple[bytes, Headers]:
    """An error in the protocol's format."""
    extra: Headers = [_JSON]
    if error.retry_after is not None:
        extra.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    return json.dumps({"error": error.message}).encode(), extra


_PREFIX, _numbers = uuid4().hex[:12], count(1)


def request_id(headers: dict[bytes, bytes]) -> bytes:
    """The client's X-Request-Id if it is a plain word, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _ID.fullmatch(given):
        return given
    return b"%s-%d" % (_PREFIX.encode(), next(_numbers))
