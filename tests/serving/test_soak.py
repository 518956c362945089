"""Long runs: what leaks, or breaks once in a thousand. SOAK_SECONDS is how long (30 minutes by default)."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import threading
import time
from itertools import count
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image
from rpc_service import call, request
from server_process import CARD, Process, ask, binary_request, json_request, running
from small_models import content

from nin_spec.runtime.session import open_session

pytestmark = pytest.mark.long
SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))
TWO = ("--threads", "2")  # so that runs go side by side where that pays
X = np.random.default_rng(5).normal(size=(2, 3, 8, 8)).astype(np.float32)
INFER = "/v2/models/small/infer"


def memory(server: Process) -> int:
    """Resident kilobytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found is not None
    return int(found[1])


class Mix:
    """Good requests, bad ones, pictures, calls, and clients that leave, until stopped."""

    def __init__(self, port: int, grpc_port: int) -> None:
        self.port, self.counts, self.codes = port, dict[int, int](), dict[str, int]()
        body, extra = binary_request(X)
        self.kinds = [
            (INFER, body, extra),
            (INFER, json.dumps(json_request(X)).encode(), {}),
            (INFER, body[:-1], extra),
            (INFER, b"[" * 10_000, {}),
            ("/v2/models/small/classify", b"no picture", {}),
            ("/v2/models/small/classify", picture(), {}),
            ("/v2/models/other/infer", body, extra),
        ]
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(k,)) for k in range(4)]
        self.threads.append(threading.Thread(target=self._call, args=(grpc_port,)))
        for thread in self.threads:
            thread.start()

    def _run(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not self.stop.is_set():
            path, body, extra = self.kinds[rng.integers(len(self.kinds))]
            if rng.random() < 0.1:
                with socket.create_connection(("127.0.0.1", self.port)) as connection:
                    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    connection.sendall((head + body)[: rng.integers(len(head) + len(body))])
            else:
                status = ask(self.port, "POST", path, body, extra)[0]
                self.counts[status] = self.counts.get(status, 0) + 1

    def _call(self, port: int) -> None:
        """Over gRPC: good calls, bad ones, and a few that are given up."""
        kinds = [request(X, model_name="small"), request(X[:, :1], model_name="small"), request(X, model_name="other")]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = call(channel)
            for turn in count():
                if self.stop.is_set():
                    return
                under_way = infer.future(kinds[turn % 3], timeout=60)
                if turn % 10 == 0:
                    under_way.cancel()
                code = under_way.code().name
                self.codes[code] = self.codes.get(code, 0) + 1

    def end(self) -> None:
        """Wait for everyone."""
        self.stop.set()
        for thread in self.threads:
            thread.join()


def picture() -> bytes:
    """The file of one."""
    data = io.BytesIO()
    Image.effect_noise((40, 32), 50).convert("RGB").save(data, "JPEG")
    return data.getvalue()


def test_memory_stays_flat_under_mixed_load(tmp_path: Path) -> None:
    """After a tenth of the time to warm up, the server grows by less than 5%; no 5xx but the deliberate 503."""
    (tmp_path / "small.onnx").write_bytes(content(metadata=CARD))
    with running(f"small={tmp_path / 'small.onnx'}", "--grpc-port", "0", *TWO) as server:
        mix = Mix(server.port, server.grpc_port)
        time.sleep(SECONDS / 10)
        before = memory(server)
        time.sleep(SECONDS * 9 / 10)
        after = memory(server)
        mix.end()
        told = f"answers {mix.counts}, calls {mix.codes}"
        print(f"{before} -> {after} kB, {told}; {server.lines[0]}")  # noqa: T201 pytest -s shows it
        assert {200, 400, 404} <= set(mix.counts) <= {200, 400, 404, 503}
        assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= set(mix.codes)
        assert set(mix.codes) <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", "UNAVAILABLE"}
        assert after < 1.05 * before


def test_a_hundred_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    """Old and new model in turns: every answer is one of the two."""
    path = tmp_path / "small.onnx"
    models = [content(), content(tail="Softmax")]
    wanted = {open_session(m, "cpu", 1).run(X).tobytes() for m in models}
    path.write_bytes(models[0])
    body, extra = binary_request(X)
    seen: set[tuple[int, bool]] = set()
    stop = threading.Event()

    def client(port: int) -> None:
        while not stop.is_set():
            status, _, answer = ask(port, "POST", INFER, body, extra)
            seen.add((status, answer[-32:] in wanted))

    with running(f"small={path}", "--reload", *TWO) as server:
        threads = [threading.Thread(target=client, args=(server.port,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(1, 101):
            beside = path.with_suffix(".part")
            beside.write_bytes(models[turn % 2])
            beside.replace(path)
            done = sum('"reloaded"' in line for line in server.lines)
            server.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + 60
            while sum('"reloaded"' in line for line in server.lines) == done:
                assert time.monotonic() < until
                time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()
    assert seen == {(200, True)}
