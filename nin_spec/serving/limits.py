"""Limits on request bodies: bytes are counted as they stream and again after decompression."""

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
"""Size in bytes from which a body is processed in a thread, to keep the event loop responsive."""
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


@dataclass(eq=False)
class MemoryBudget:
    """Reads bodies within a memory budget. `body` is the limit in bytes of one, `total` that of all together."""

    body: int = 64 << 20
    total: int = 256 << 20
    reserved: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        # One thread: large bodies are decompressed one at a time.
        self._threads = ThreadPoolExecutor(1, "bodies")

    async def aside(self, call: Callable[..., T], *args: Any) -> T:
        """Run slow work in the budget's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True, eq=False)
class Reservation:
    """The memory of one request until its response; `release` returns it."""

    budget: MemoryBudget
    size: int = 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """Read the whole body, decompressed. Raises ServingError."""
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
        """Reject by Content-Length what would be rejected later."""
        if length is not None and length.isdigit() and int(length[:20]) > self.budget.body:
            raise self._too_large()

    def _chunk(self, message: MutableMapping[str, Any]) -> bytes:
        if message["type"] == "http.disconnect":
            raise GoneError("the client left while it was sending")
        chunk: bytes = message["body"]
        self.grow(len(chunk))
        return chunk

    def grow(self, count: int) -> None:
        """Reserve `count` more bytes. Raises TooLargeError or OverloadedError."""
        self.size += count
        self.budget.reserved += count
        if self.size > self.budget.body:
            raise self._too_large()
        if self.budget.reserved > self.budget.total:
            raise OverloadedError("the requests in progress use the whole memory budget", retry_after=1)

    def reserve(self, count: int) -> None:
        """Reserve `count` bytes of working memory, independent of the body's size. Raises like `grow`."""
        most = self.budget.total
        if count > most:
            hint = "start the server with a larger --max-body"
            raise TooLargeError(f"the picture needs {count} bytes of memory; the limit is {most}: {hint}")
        self.size += count
        self.budget.reserved += count
        if self.budget.reserved > most:
            raise OverloadedError("the requests in progress use the whole memory budget", retry_after=1)

    def return_(self, count: int) -> None:
        """Return `count` reserved bytes."""
        self.size -= count
        self.budget.reserved -= count

    def turn_into(self, size: int) -> None:
        """Replace the reservation by `size` bytes, for a body that was converted to an array. Raises like `grow`."""
        self.release()
        self.grow(size)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is larger than this server's limit of {self.budget.body} bytes")

    async def _decoded(self, body: bytes, coding: bytes) -> bytes:
        if coding == b"identity":
            return body
        if coding not in _WINDOWS:
            told = coding[:40].decode("latin-1")
            raise CodingError(f"unknown content encoding {told!r}; send gzip, deflate or identity")
        inflate = self.budget.aside(_inflate, body, _WINDOWS[coding], self.budget.body)
        decoded = await inflate
        if decoded is None:
            raise self._too_large()
        self.grow(len(decoded) - len(body))
        return decoded

    def release(self) -> None:
        """Return the reservation."""
        self.budget.reserved -= self.size
        self.size = 0


def _inflate(body: bytes, window: int, most: int) -> bytes | None:
    """The decompressed bytes, None if they are more than `most`. Raises BadRequestError."""
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
        raise BadRequestError("the body can't be decompressed: it is truncated, or has data after its end")
    return decoded


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
