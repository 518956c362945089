"""The server as people run it: `nin-spec serve` in a process of its own, and how tests speak to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from small_models import FLOAT, content, other_graph

from nin_spec.runtime.session import open_session

LABELS = ["cat", "dog", "owl", "fox"]
CARD = {
    "name": "small",
    "labels": LABELS,
    "output": "scores",
    "preprocessing": {
        "scale": 1 / 255,
        "mean": [0.5],
        "std": [0.25],
        "layout": "HWC",
        "dtype": "uint8",
        "color": "rgb",
        "resize": "stretch",
    },
}
SERVE = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])", "serve"]


class Process:
    """A running server, of one thread unless the arguments say more. `lines` is what it wrote on standard error."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        command = [*SERVE, "--port", "0", "--device", "cpu", "--threads", "1", *arguments]
        given = {**os.environ, **(environment or {})}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=given)
        self.lines: list[str] = []
        self._ready = threading.Event()
        self.port = self.grpc_port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(120) or not self.port:
            self.end()
            raise AssertionError("the server did not start:\n" + "".join(self.lines))

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"serving .* on http://\S+:(\d+)(?: and grpc://\S+:(\d+))?", line):
                self.port, self.grpc_port = int(found[1]), int(found[2] or 0)
                self._ready.set()
        self._ready.set()

    def wait_for(self, text: str) -> None:
        """Until a line of its log holds the text."""
        until = time.monotonic() + 60
        while not any(text in line for line in self.lines):
            assert time.monotonic() < until, f"{text!r} is not in\n{''.join(self.lines)}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status after a signal, once all that it wrote is in `lines`."""
        self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(60)
        return status

    def end(self) -> None:
        """Killed, at any point."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(60)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def running(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """A server for the time of a test."""
    server = Process(*arguments, environment=environment)
    try:
        yield server
    finally:
        server.end()


def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come to be."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers in lower case, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask_json(port: int, method: str, path: str, data: Any = None) -> tuple[int, Any]:
    """The same with JSON both ways."""
    body = b"" if data is None else json.dumps(data).encode()
    status, headers, answer = ask(port, method, path, body)
    assert headers["content-type"] == "application/json"
    return status, json.loads(answer)


def raw(port: int, data: bytes, *, wait: float = 10) -> bytes:
    """What the server answers to bytes, until it hangs up or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        found = b""
        try:
            connection.sendall(data)
            while chunk := connection.recv(1 << 16):
                found += chunk
        except (TimeoutError, ConnectionError):  # who hangs up on bytes that it hasn't read resets the connection
            pass
        return found


def json_request(x: NDArray[Any], **more: Any) -> dict[str, Any]:
    """An infer request with its numbers in JSON."""
    values = {"name": "input", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
    return {"inputs": [values], **more}


def binary_request(x: NDArray[Any], *, binary: bool = True, **more: Any) -> tuple[bytes, dict[str, str]]:
    """The body and headers of the same with the binary extension."""
    data = x.tobytes()
    entry = {
        "name": "input",
        "datatype": "FP32",
        "shape": list(x.shape),
        "parameters": {"binary_data_size": len(data)},
    }
    header = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": binary}, **more}).encode()
    return header + data, {"Inference-Header-Content-Length": str(len(header))}


def binary_scores(headers: dict[str, str], body: bytes) -> NDArray[np.float32]:
    """The first output of a binary answer."""
    length = int(headers["inference-header-content-length"])
    output = json.loads(body[:length])["outputs"][0]
    size = output["parameters"]["binary_data_size"]
    return np.frombuffer(body[length : length + size], np.float32).reshape(output["shape"])


def model_file(folder: Path, name: str = "small.onnx", **options: Any) -> Path:
    """A small classifier's file."""
    path = folder / name
    path.write_bytes(content(**options))
    return path


def picky_model(folder: Path) -> Path:
    """The file of a model, (N, 3) to (N, 4), that fails on a number that is not 0 to 7, as an index of its table."""
    rng = np.random.default_rng(0)
    table, weight = (numpy_helper.from_array(rng.normal(size=n).astype(np.float32)) for n in (8, (3, 4)))
    nodes = [
        helper.make_node("Constant", [], ["table"], value=table),
        helper.make_node("Constant", [], ["weight"], value=weight),
        helper.make_node("Cast", ["input"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["found"]),
        helper.make_node("MatMul", ["found", "weight"], ["scores"]),
    ]
    path = folder / "picky.onnx"
    path.write_bytes(other_graph(nodes, [("input", FLOAT, ["N", 3])], [("scores", FLOAT, ["N", 4])]))
    return path


@contextmanager
def small_models_served(folder: Path) -> Iterator[int]:
    """The port of a server of `small` with labels and `plain` without, each (N, 3, 8, 8) to (N, 4)."""
    small, plain = model_file(folder, metadata=CARD), model_file(folder, "plain.onnx")
    with running(str(small), str(plain), "--max-body", "1") as server:
        yield server.port


def bare_scores(x: NDArray[Any]) -> NDArray[Any]:
    """What a session that does nothing else computes with the small model."""
    return open_session(content(metadata=CARD), "cpu", 1).run(x)
