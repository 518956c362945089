"""Who may speak to the studio: the browser that the command opened, and no page of another site.

A page elsewhere could reach a local server by its own name led here (DNS rebinding) or by a WebSocket, which
browsers open across sites; other people of this machine can reach it too. So the Host and the Origin must be
ours, and a key in the command's address becomes a cookie that every request must bring.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS = [
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
]


class Guard:
    """The application behind a check of each request."""

    def __init__(self, app: App, port: int, key: str) -> None:
        self.app, self.key = app, key
        self.cookie = f"nin-spec-studio-{port}"
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        reason = self.refusal(scope)
        if reason is None:
            await self.app(scope, receive, self._answered(scope, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": reason.encode()})

    def refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None when it is ours."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        if headers.get("host", "") not in self.hosts:
            return "this is not a name of the studio"
        if headers.get("origin", f"http://{headers['host']}") != f"http://{headers['host']}":
            return "the studio answers its own page only"
        if not (self._bears(_cookie(headers.get("cookie", ""), self.cookie)) or self._bears(_asked(scope))):
            return "open the address that nin-spec studio printed; it has a key"
        return None

    def _bears(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(), self.key.encode())

    def _answered(self, scope: Scope, send: Send) -> Send:
        """`send`, which hands the key over as a cookie to who came with it in the address."""
        fresh = self._bears(_asked(scope))
        cookie = f"{self.cookie}={self.key}; HttpOnly; SameSite=Strict; Path=/".encode()

        async def answered(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = [*_HEADERS, (b"set-cookie", cookie)] if fresh else _HEADERS
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        return answered


def _asked(scope: Scope) -> str:
    found: list[str] = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key", [""])
    return found[0]


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
