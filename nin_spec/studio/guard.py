"""Access control: only the browser that the command opened may use the studio, no page of another site.

A page of another site could reach a local server through DNS rebinding or a WebSocket, which browsers open across
sites; other users of this machine can reach it, too. So Host and Origin must be ours, and a key in the command's URL
becomes a cookie that every request must have.
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
    """Wraps the application with a check of each request."""

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
        """Why a request is rejected; None if it is allowed."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        if headers.get("host", "") not in self.hosts:
            return "the studio does not serve this host name"
        if headers.get("origin", f"http://{headers['host']}") != f"http://{headers['host']}":
            return "the studio serves only its own page"
        if not (self._bears(_cookie(headers.get("cookie", ""), self.cookie)) or self._bears(_asked(scope))):
            return "open the address that nin-spec studio printed, which has a key"
        return None

    def _bears(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(), self.key.encode())

    def _answered(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to set the key as a cookie if the request has it in the URL."""
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
