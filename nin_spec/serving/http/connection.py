"""uvicorn's HTTP connection, with errors in JSON, limits on headers and pipelining, and a graceful close."""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from nin_spec.serving.http.rest import CALLER, Headers

MAX_HEAD = 64 << 10
"""Limit in bytes of a request's line and headers."""
MAX_PIPELINED = 256
"""Limit of pipelined requests per connection, since each takes memory."""
KEEP_ALIVE = 75.0
"""Keep-alive timeout in seconds between two requests."""
_FRAMING = {b"content-length", b"transfer-encoding"}
"""Headers that frame a body."""
LINGER = 2.0
"""Seconds without a byte after which a client, rejected while sending, is assumed to have read the response."""


class Connection(HttpToolsProtocol):
    """One client's connection. Also the Caller: if it is lost, the batcher drops its requests."""

    lost = False
    draining = False
    _began: float | None = None
    _idle_since = 0.0
    _in_body, _advanced, _overhead = False, False, 0
    _framing: Headers = []  # noqa: RUF012 replaced, never mutated
    _repeats = False
    _unsent, _unsent_since = 0, 0.0
    _lingers: float | None = None
    _last_word: tuple[int, str] | None = None
    _turn: RequestResponseCycle
    """The request being processed; `cycle` is the latest one, and others may wait between."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._exit = _Exit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._forsake()
        super().connection_lost(exc)

    def _forsake(self) -> None:
        """Cancel the response in progress, as its client left; uvicorn only cancels the latest request's."""
        if self.cycle is not None and not self._turn.response_complete:
            self._turn.disconnected = True
            self._turn.message_event.set()

    # -------------------------------------------------------------- receiving requests

    def data_received(self, data: bytes) -> None:
        if self._lingers is not None or self._last_word is not None:
            self._idle_since = self.loop.time()
            return  # it has or will get its last response: only let it finish
        self._advanced = False
        self._parse(data)
        # The parser has no limit: endless headers or trailers would be stored.
        self._overhead = 0 if self._advanced else self._overhead + len(data)
        if self._overhead > MAX_HEAD:
            self.refuse(431, f"the request's headers are longer than {MAX_HEAD} bytes")

    def _parse(self, data: bytes) -> None:
        """Feed all data to the parser: uvicorn drops what follows an upgrade offer in the same segment.

        Such an offer is ignored, as RFC 9110 (7.8) allows.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserError:
            self.refuse(400, "this is not an HTTP request")

    def _feed(self, data: memoryview) -> memoryview:
        """The data that the parser did not consume."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._framing:
                self._read_on()
            return data[max(offer.args[0], 1) :]
        return data[:0]

    def _read_on(self) -> None:
        """Start a parser for the body after an upgrade offer.

        With such an offer httptools ends a request after its headers, and parses its body as the next request. Java's
        HTTP client makes such offers.
        """
        framing, self._framing = self._framing, []
        parser = httptools.HttpRequestParser(self)
        lines = [b"POST / HTTP/1.1", *(name + b": " + value for name, value in framing), b"", b""]
        self._repeats = True
        parser.feed_data(b"\r\n".join(lines))
        self._repeats = False
        self.parser = parser

    def on_url(self, url: bytes) -> None:
        if not self._repeats:
            super().on_url(url)

    def on_message_begin(self) -> None:
        if self._repeats:
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            self.refuse(429, f"more than {MAX_PIPELINED} requests wait on this connection")
            raise BufferError  # the parser stops here
        self._began, self._advanced = self.loop.time(), True
        super().on_message_begin()
        self.scope["extensions"] = {CALLER: self}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # trailers are not used
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._repeats:
            return
        if self._names_no_host():
            self.refuse(400, "an HTTP/1.1 request must have exactly one Host header")
            raise BufferError  # the parser stops here
        super().on_headers_complete()
        self._in_body = self._advanced = True
        if self.parser.should_upgrade():
            self._framing = [(name, value) for name, value in self.headers if name in _FRAMING]
        self.cycle.transport = self._exit  # type: ignore[assignment]
        if self.draining:
            self.cycle.keep_alive = False

    def _names_no_host(self) -> bool:
        """RFC 9112 (3.2): a request of HTTP/1.1 has one Host header, and is answered with 400 otherwise."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        return hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1")

    def on_body(self, body: bytes) -> None:
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._framing:
            return  # its body is still to come
        self._began, self._in_body, self._advanced = None, False, True
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # paused by a large body; a paused connection can't detect a disconnect

    # -------------------------------------------------------------- sending responses

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._turn = cycle
        super()._start_asgi_task(cycle, app)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A complete response in one write, where ASGI messages would need two.

        Does what uvicorn's cycle does for a response with a length, without parsing each header again.
        """
        cycle = self._turn
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        if not cycle.keep_alive:
            lines.insert(1, b"connection: close\r\n")
        lines.append(body)
        self.transport.write(b"".join(lines))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.part()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Like uvicorn's, but one watch over all connections closes idle ones, instead of a timer per response."""
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if not self.parting:
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            elif self._last_word is not None:
                self._hang_up(*self._last_word)

    # -------------------------------------------------------------- rejecting and closing

    def refuse(self, status: int, message: str) -> None:
        """Respond to an invalid request, after the responses to those before it, and close the connection."""
        if self._last_word is not None:
            return
        self._last_word = status, message
        if not self._in_body:
            waits = self.busy
        elif waits := self._turn is not self.cycle:
            self.pipeline.popleft()  # it will never be complete
        elif self.cycle.response_complete:
            self.part()  # its response was sent before its end
        if waits:
            self.flow.pause_reading()
        else:
            self._hang_up(status, message)

    def _hang_up(self, status: int, message: str) -> None:
        if not self.parting:
            body = json.dumps({"error": message}).encode()
            again = b"retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self._forsake()
            self.transport.write(STATUS_LINE[status] + again + head + body)
            self.part()

    def part(self) -> None:
        """Close after the last response; let a sending client finish, as a reset would discard the response.

        RFC 9112 (9.6): half of the connection is closed first, and the rest when the client has done the same.
        """
        if not self.transport.can_write_eof():
            self.transport.close()
        elif not self.parting:
            self._lingers = self._idle_since = self.loop.time()
            self.flow.resume_reading()
            try:
                self.transport.write_eof()
            except OSError:  # asyncio's own loop raises at once if the client has disconnected
                self.transport.abort()

    @property
    def parting(self) -> bool:
        """Whether the last response has been written."""
        return self._lingers is not None or self.transport.is_closing()

    @property
    def sends(self) -> bool:
        """Whether a request is partially received."""
        return self._began is not None

    @property
    def busy(self) -> bool:
        """Whether a request is being processed."""
        return self.cycle is not None and not self.cycle.response_complete

    def hurry(self, now: float, seconds: float) -> None:
        """Close connections without progress for `seconds` while sending or reading, and idle ones."""
        if self._stuck(now, seconds):
            self.transport.abort()
        elif self._lingers is not None:
            if now - self._idle_since > LINGER or now - self._lingers > seconds:
                self.transport.close()
        elif self._began is None:
            if not self.busy and now - self._idle_since > KEEP_ALIVE:
                self.transport.close()
        elif self.flow.read_paused:
            self._began = now  # reading is paused by us
        elif now - self._began > seconds:
            self.refuse(408, f"the request did not arrive within {seconds:g} seconds")

    def _stuck(self, now: float, seconds: float) -> bool:
        """Whether the client has read nothing of its response for `seconds`."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            unsent += _unread(self.transport.get_extra_info("socket"))
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return now - self._unsent_since > seconds

    def say_goodbye(self, now: float, linger: float) -> None:
        """While the server drains, close after the last response or when idle.

        A client with a recent response may already have sent its next request: wait for it and respond, so that closing
        the connection loses nothing.
        """
        if not self.draining:
            self.draining, self._idle_since = True, now
        if self.busy:
            self.cycle.keep_alive = False
        elif (self._began is None or self.parting) and now - self._idle_since > linger:
            self.transport.close()


def _unread(connection: Any) -> int:
    """Sent bytes that the peer has not acknowledged; 0 if unknown."""
    if sys.platform != "linux":
        return 0
    import termios
    from fcntl import ioctl

    return int.from_bytes(ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class _Exit:
    """The transport for responses: its close is the connection's, which lets a client finish."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.write, self.close = connection.transport.write, connection.part

    def is_closing(self) -> bool:
        """True once nothing more is written."""
        return self._connection.parting
