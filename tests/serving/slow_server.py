"""A server whose model takes its time, what is sent to it, and what can be asked of it."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import numpy as np
from server_process import (
    Process,
    ask,
    model_file,
)

INFER = "/v2/models/slow/infer"
LAST = b"\r\nConnection: close\r\n\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPENAPI = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
X = np.zeros((8, 3, 192, 192), np.float32)
"""Some ten milliseconds of work, in 3.5 MB."""
PENDING = "nv_inference_pending_request_count{"
CANCELED = 'nv_inference_request_failure{model="slow",version="1",reason="CANCELED"}'


def slow_model(folder: Path) -> Path:
    """A model that keeps one core busy for a while."""
    return model_file(folder, "slow.onnx", shape=("N", 3, 192, 192), classes=128)


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A whole request."""
    lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def statuses(data: bytes) -> list[int]:
    """Of the answers in what came back."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", data)]


def metric(server: Process, name: str) -> float:
    """A number of /metrics."""
    text = ask(server.port, "GET", "/metrics")[2].decode()
    return float(next(line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)))


def send_all_that_is_taken(client: socket.socket, data: bytes) -> None:
    """Until the other side has enough."""
    try:
        client.sendall(data)
    except OSError:
        return
