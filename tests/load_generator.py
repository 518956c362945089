"""A load generator of raw asyncio sockets, in a process of its own: python load_generator.py '{"port": ...}'.

Prints JSON: answers by status, answers a second, latencies in milliseconds. Each connection sends its next
request when the last is answered; with `rate` they are sent on a clock instead, whatever is answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import uvloop


@dataclass
class Tally:
    """What came back, since `start`."""

    start: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    bodies: set[bytes] = field(default_factory=set)
    broken: int = 0

    def add(self, status: int, seconds: float) -> None:
        """One answer."""
        self.latencies.setdefault(status, []).append(seconds)

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """For the process that started this one."""
        good = sorted(self.latencies.get(200, []))
        return {
            "statuses": {str(k): len(v) for k, v in self.latencies.items()},
            "broken": self.broken,
            "rate": len(good) / seconds,
            "p50": 1e3 * quantile(good, 0.5),
            "p99": 1e3 * quantile(good, 0.99),
            "rejected_p99": 1e3 * quantile(sorted(self.latencies.get(503, [])), 0.99),
        }


def quantile(values: list[float], q: float) -> float:
    """Of sorted values; NaN of none."""
    return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


class Client(asyncio.Protocol):
    """One connection, one request at a time. It asks again when it is answered, or joins `free`."""

    def __init__(self, message: bytes, tally: Tally, free: deque[Client] | None) -> None:
        self.message, self.tally, self.free = message, tally, free
        self.transport: asyncio.Transport
        self.buffer, self.sent, self.asking = b"", 0.0, False

    def ask(self) -> None:
        """Send the request."""
        self.asking, self.sent = True, time.perf_counter()
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        text = self.buffer[:head].lower()
        at = text.index(b"content-length: ") + 16
        end = text.find(b"\r", at)
        length = int(text[at:] if end < 0 else text[at:end])
        if len(self.buffer) < head + 4 + length:
            return
        self.tally.add(int(text[9:12]), time.perf_counter() - self.sent)
        self.buffer, self.asking = b"", False
        if self.free is None:
            self.ask()
        else:
            self.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asking:
            self.tally.broken += 1


async def run(port: int, message: bytes, clients: int, *, seconds: float, warm: float, rate: float) -> dict[str, Any]:
    """The tally of some seconds, after some to warm up."""
    tally, loop = Tally(), asyncio.get_running_loop()
    free: deque[Client] | None = deque() if rate else None
    found = []
    for _ in range(clients):
        transport, client = await loop.create_connection(lambda: Client(message, tally, free), "127.0.0.1", port)
        client.transport = transport
        found.append(client)
    if free is None:
        for client in found:
            client.ask()
        await asyncio.sleep(warm)
    tally.latencies.clear()
    start = time.perf_counter()
    if free is None:
        await asyncio.sleep(seconds)
    else:
        free.extend(found)
        await _on_a_clock(free, start, seconds, rate)
    result = tally.as_dict(time.perf_counter() - start)
    for client in found:
        client.asking = False
        client.transport.abort()
    return result


async def _on_a_clock(free: deque[Client], start: float, seconds: float, rate: float) -> None:
    sent = 0
    while (now := time.perf_counter() - start) < seconds:
        due = int(now * rate)
        for _ in range(min(due - sent, len(free))):
            free.popleft().ask()
        sent = due
        await asyncio.sleep(0.002)


def http_message(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST, whole."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def binary_message(model: str, shape: list[int], raw: bytes, name: str = "input") -> bytes:
    """An infer request with the binary extension in both directions."""
    header = json.dumps(
        {
            "inputs": [
                {"name": name, "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": len(raw)}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    extra = {"Inference-Header-Content-Length": str(len(header))}
    return http_message(f"/v2/models/{model}/infer", header + raw, extra)


def main() -> None:
    """As the JSON argument says."""
    told = json.loads(sys.argv[1])
    with open(told["message"], "rb") as file:  # noqa: PTH123 starts fast
        message = file.read()
    times = {"seconds": told["seconds"], "warm": told.get("warm", 1.0), "rate": told.get("rate", 0.0)}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(told["port"], message, told["clients"], **times))))  # noqa: T201


if __name__ == "__main__":
    main()
