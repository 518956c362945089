"""The server process: a loopback socket, the page, and access control."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import webbrowser
from collections.abc import Callable
from importlib.resources import files

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from nicegui import core, ui

from nin_spec.diagnostics import Code, InputError
from nin_spec.diagrams import colours
from nin_spec.studio.completion import complete, explain
from nin_spec.studio.editor import SCRIPT, Editor
from nin_spec.studio.guard import Guard
from nin_spec.studio.page import Page
from nin_spec.studio.workspace import Workspace

_HOST = "127.0.0.1"
_MEMORY = 3600.0
"""Seconds for which a tab's text is kept after its connection is lost, for example by a sleeping laptop."""
_MESSAGE = 8 << 20
"""Limit in bytes of one message from the browser: more than the largest spec."""


def serve(workspace: Workspace, port: int, *, browser: bool, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. `ready` is called with the address. Raises InputError for a port in use."""
    listening = _listen(port)
    port = listening.getsockname()[1]
    key = secrets.token_urlsafe(24)
    config = uvicorn.Config(
        Guard(application(workspace), port, key),
        ws="wsproto",
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    address = f"http://{_HOST}:{port}/?key={key}"
    server = _Server(config, lambda: _announce(address, ready, browser=browser))
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _announce(address: str, ready: Callable[[str], None], *, browser: bool) -> None:
    ready(address)
    if browser:
        webbrowser.open(address)


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
    except OSError as error:
        message = f"can't listen on {_HOST}:{port}: {error.strerror}"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="pass another --port") from None
    return listening


def application(workspace: Workspace) -> FastAPI:
    """The page, its script and style, and the editor's endpoints."""
    logging.getLogger("nicegui").setLevel(logging.ERROR)
    app = FastAPI(openapi_url=None)

    @app.get(SCRIPT)
    def _script() -> Response:
        return _asset("editor.js", "text/javascript")

    @app.get("/studio/style.css")
    def _style() -> Response:
        return _asset("style.css", "text/css")

    @app.post("/studio/complete")
    async def _complete(request: Request) -> Response:
        return JSONResponse(complete(*_around(await request.json())))

    @app.post("/studio/explain")
    async def _explain(request: Request) -> Response:
        return JSONResponse(explain(*_around(await request.json())))

    @app.post("/studio/typed")
    async def _typed(request: Request) -> Response:
        sent = await request.json()
        editor = Editor.known.get(str(sent["key"]))
        if editor is None:
            return Response(status_code=404)
        editor.typed(int(sent["version"]), str(sent["text"]), str(sent["then"]))
        return Response(status_code=204)

    async def root() -> None:
        ui.add_head_html('<link rel="stylesheet" href="/studio/style.css">')
        ui.add_css(
            "".join(f".body--{name} .nin-diagram{{{colours(dark=name == 'dark')}}}" for name in ("light", "dark"))
        )
        await Page(workspace).live()

    ui.run_with(
        app,
        root=root,
        title=f"{workspace.path.name} - nin-spec studio",
        favicon=str(files("nin_spec.studio").joinpath("icon.svg")),
        dark=None,
        language="en-US",
        reconnect_timeout=_MEMORY,
        tailwind=False,
        show_welcome_message=False,
    )
    core.sio.eio.max_http_buffer_size = _MESSAGE
    return app


def _around(asked: dict[str, str]) -> tuple[str, str]:
    return str(asked.get("before", "")), str(asked.get("after", ""))


def _asset(name: str, kind: str) -> Response:
    headers = {"cache-control": "no-cache"}
    return Response(files("nin_spec.studio").joinpath(name).read_bytes(), media_type=kind, headers=headers)
