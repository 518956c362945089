"""How much a client may send: bytes of a body, counted as they stream and again once decompressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nin_spec.serving.errors import BadRequestError, CodingError, GoneError, OverloadedError, TooLargeError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
T = TypeVar("T")

LARGE = 1 << 18
"""Bytes from which a body is worked on in a thread, so that the event loop answers others meanwhile."""
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


@dataclass(eq=False)
class Intake:
    """Reads bodies. `body` bytes are the most that one may have, `total` the most that all hold together."""

    body: int = 64 << 20
    total: int = 256 << 20
    held: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        # One thread: two large bodies are never unfolded side by side.
        self._threads = ThreadPoolExecutor(1, "intake")

    async def aside(self, call: Callable[..., T], *args: Any) -> T:
        """Run what takes long in the intake's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True, eq=False)
class Hold:
    """What one request holds until it is answered; `release` gives it back."""

    intake: Intake
    size: int = 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The whole body, decompressed. Raises ServingError."""
        self._check_length(headers.get(b"content-length"))
        message = await receive()
        body: bytes = self._chunk(message)
        if message.get("more_body"):
            chunks = [body]
            while message.get("more_body"):
                message = await receive()
                chunks.append(self._chunk(message))
            body = b"".join(chunks)
        coding = headers.get(b"content-encoding")
        return await self._decoded(body, coding.strip().lower()) if coding else body

    def _check_length(self, length: bytes | None) -> None:
        """Refuse by the header already what would be refused later."""
        if length is not None and length.isdigit() and int(length[:20]) > self.intake.body:
            raise self._too_large()

    def _chunk(self, message: MutableMapping[str, Any]) -> bytes:
        if message["type"] == "http.disconnect":
            raise GoneError("the client left while it was sending")
        chunk: bytes = message["body"]
        self.grow(len(chunk))
        return chunk

    def grow(self, count: int) -> None:
        """Hold so many bytes more. Raises TooLargeError or OverloadedError."""
        self.size += count
        self.intake.held += count
        if self.size > self.intake.body:
            raise self._too_large()
        if self.intake.held > self.intake.total:
            raise OverloadedError("the requests in progress use all the memory that they may", retry_after=1)

    def reserve(self, count: int) -> None:
        """Hold so many bytes of working memory more, however small the body was. Raises as `grow` does."""
        most = self.intake.total
        if count > most:
            hint = "start the server with a larger --max-body"
            raise TooLargeError(f"the picture takes {count} bytes of memory; the limit is {most}: {hint}")
        self.size += count
        self.intake.held += count
        if self.intake.held > most:
            raise OverloadedError("the requests in progress use all the memory that they may", retry_after=1)

    def return_(self, count: int) -> None:
        """Give back so many bytes of what was reserved."""
        self.size -= count
        self.intake.held -= count

    def turn_into(self, size: int) -> None:
        """Hold so many bytes in the place of what was held: a body that has become an array. Raises as `grow` does."""
        self.release()
        self.grow(size)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is larger than the {self.intake.body} bytes that this server takes")

    async def _decoded(self, body: bytes, coding: bytes) -> bytes:
        if coding == b"identity":
            return body
        if coding not in _WINDOWS:
            told = coding[:40].decode("latin-1")
            raise CodingError(f"the content encoding {told!r} is unknown; send gzip, deflate or identity")
        inflate = self.intake.aside(_inflate, body, _WINDOWS[coding], self.intake.body)
        decoded = await inflate
        if decoded is None:
            raise self._too_large()
        self.grow(len(decoded) - len(body))
        return decoded

    def release(self) -> None:
        """Give back what was held."""
        self.intake.held -= self.size
        self.size = 0


def _inflate(body: bytes, window: int, most: int) -> bytes | None:
    """The decompressed bytes, None where they are more than `most`. Raises BadRequestError."""
    if window == 15 and not _has_zlib_header(body):
        window = -15  # clients disagree on what "deflate" means
    stream = zlib.decompressobj(window)
    try:
        decoded = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise BadRequestError(f"the body can't be decompressed: {error}") from None
    if len(decoded) > most:
        return None
    if not stream.eof or stream.unused_data:
        raise BadRequestError("the body can't be decompressed: it is cut off, or has more after its end")
    return decoded


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
