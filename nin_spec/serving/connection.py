"""uvicorn's HTTP connection, with errors in JSON, limits on what is not a body, and a patient goodbye."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers."""


class Connection(HttpToolsProtocol):
    """One client's connection. Also the Caller whose loss makes the batcher drop what it asked."""

    lost = False
    draining = False
    _began: float | None = None
    _idle_since = 0.0
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began = self._idle_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)

    # -------------------------------------------------------------- a request comes in

    def data_received(self, data: bytes) -> None:
        if self._began is None:
            self._began = self.loop.time()
        super().data_received(data)
        # The parser has no limit of its own: headers without end would be kept without end.
        if self._head >= 0:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self.refuse(431, f"the request's headers are longer than {MAX_HEAD} bytes")

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()
        self.scope["extensions"] = {"nin_spec.caller": self}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()
        if self.draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._began = None
        self._head = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    # -------------------------------------------------------------- refusals and the end

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, "this is not an HTTP request")

    def refuse(self, status: int, message: str) -> None:
        """Answer what never became a request, and hang up."""
        if not self.transport.is_closing():
            body = json.dumps({"error": message}).encode()
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
            self.transport.close()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def hurry(self, now: float, seconds: float) -> None:
        """Hang up on a request that has been coming for longer than `seconds`."""
        if self._began is None or now - self._began < seconds:
            return
        if self.busy and self.cycle.response_started:
            self.transport.close()
        else:
            self.refuse(408, f"the request did not arrive within {seconds:g} seconds")

    def say_goodbye(self, now: float, linger: float) -> None:
        """While the server drains: the last answer closes, and silence does.

        A client that has just been answered may have sent its next request already: it is waited for, and
        answered too, so that closing the connection loses nothing.
        """
        self.draining = True
        if self.busy:
            self.cycle.keep_alive = False
        elif self._began is None and now - self._idle_since > linger:
            self.transport.close()
