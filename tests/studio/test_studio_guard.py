"""Nobody but the browser that the command opened speaks to the studio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nin_spec.studio.guard import Guard

HOST, KEY = "127.0.0.1:4321", "secret"
COOKIE = {"cookie": f"other=1; nin-spec-studio-4321={KEY}"}


async def _app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


def ask(headers: dict[str, str], query: str = "", kind: str = "http") -> list[dict[str, Any]]:
    """What the guard sends in answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": kind, "headers": raw, "query_string": query.encode(), "path": "/"}
    asyncio.run(Guard(_app, 4321, KEY)(scope, None, send))  # type: ignore[arg-type]
    return sent


def test_who_has_the_key_is_let_in_and_remembered() -> None:
    """By the address once, then by a cookie that no script reads and no other site sends."""
    first = ask({"host": HOST}, f"key={KEY}")[0]
    assert first["status"] == 200
    assert dict(first["headers"])[b"set-cookie"].endswith(b"HttpOnly; SameSite=Strict; Path=/")
    for headers in ({}, {"origin": f"http://{HOST}"}):
        assert ask({"host": HOST, **COOKIE, **headers})[0]["status"] == 200


REFUSED = [
    ({"host": HOST}, ""),
    ({"host": HOST}, "key=guess"),
    ({"host": HOST, "cookie": "nin-spec-studio-4321=guess"}, ""),
    ({"host": HOST, "cookie": "nin-spec-studio-9999=secret"}, ""),
    ({"host": "evil.example:4321", **COOKIE}, ""),
    ({"host": "127.0.0.1.evil.example:4321", **COOKIE}, ""),
    ({"host": "127.0.0.1:80", **COOKIE}, ""),
    ({**COOKIE}, ""),
    ({"host": HOST, "origin": "http://evil.example", **COOKIE}, ""),
    ({"host": HOST, "origin": "null", **COOKIE}, ""),
    ({"host": HOST, "origin": "http://localhost:4321", **COOKIE}, ""),
]


@pytest.mark.parametrize(("headers", "query"), REFUSED, ids=str)
def test_others_are_refused(headers: dict[str, str], query: str) -> None:
    """Without the key, under another name, from another site: by HTTP and by WebSocket."""
    assert ask(headers, query)[0]["status"] == 403
    assert ask(headers, query, "websocket")[0]["type"] == "websocket.close"
