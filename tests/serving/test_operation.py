"""The server as a process: signals, reload, tokens, broken clients, logs."""

from __future__ import annotations

import http.client
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_process import (
    Process,
    ask,
    ask_json,
    binary_request,
    binary_scores,
    model_file,
    picky_model,
    raw,
    running,
    small_models_served,
)
from small_models import content

from nin_spec.cli import execute
from nin_spec.runtime.session import open_session

X = np.random.default_rng(5).normal(size=(1, 3, 8, 8)).astype(np.float32)
INFER = "/v2/models/small/infer"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The small models, served."""
    with small_models_served(tmp_path_factory.mktemp("serving")) as port:
        yield port


class Load:
    """Clients that ask again and again on connections that they keep, until nobody listens any more."""

    def __init__(self, server: Process, clients: int = 6) -> None:
        self.answered, self.lost, self.statuses = 0, 0, set[int]()
        self.answers: set[bytes] = set()
        self.body, self.extra = binary_request(X)
        self.server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _client(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            known = False
            try:
                while not self._stop.is_set():
                    connection.request("POST", INFER, self.body, self.extra)
                    answer = connection.getresponse()
                    headers = {k.lower(): v for k, v in answer.getheaders()}
                    found = answer.read()
                    self.statuses.add(answer.status)
                    self.answers.add(binary_scores(headers, found).tobytes())
                    self.answered, known = self.answered + 1, True
                    if answer.will_close:
                        break
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException):
                self.lost += known  # one that was never answered may never have been accepted
            finally:
                connection.close()

    def wait_for(self, count: int) -> None:
        until = time.monotonic() + 60
        while self.answered < count:
            assert time.monotonic() < until
            time.sleep(0.01)

    def end(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def serve_small(folder: Path, **options: Any) -> list[str]:
    return [f"small={model_file(folder, **options)}"]


def test_a_signal_loses_no_request(tmp_path: Path) -> None:
    """SIGTERM under load: everything that was accepted is answered, and the server leaves with 0."""
    with running(*serve_small(tmp_path)) as server:
        load = Load(server)
        load.wait_for(50)
        assert server.stop(signal.SIGTERM) == 0
        load.join()
        assert (load.lost, load.statuses) == (0, {200})
        server.wait_for("stopped")


def test_an_idle_server_stops_soon_and_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """A client that is connected and silent doesn't hold it up."""
    with running(*serve_small(tmp_path)) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert server.stop(signal.SIGINT) == 0


def test_a_draining_server_is_not_ready(tmp_path: Path) -> None:
    """On a connection that is there already: ready turns to 503, and the answer closes the connection."""
    with running(*serve_small(tmp_path)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().read() == b'{"ready":true}'
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("no new connections")
        connection.request("GET", "/v2/health/ready")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (503, b'{"ready":false}')
        assert answer.getheader("connection") == "close"
        connection.close()
        assert server.process.wait(30) == 0


def replace(path: Path, data: bytes) -> None:
    """As an export replaces a file: whole."""
    beside = path.with_suffix(".part")
    beside.write_bytes(data)
    beside.replace(path)


def test_a_reload_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    """Under load each answer is the old model's or the new one's; a broken file leaves the model that was there."""
    old, new = content(), content(dtype=np.float32, tail="Softmax")
    wanted = {open_session(model, "cpu", 1).run(X).tobytes() for model in (old, new)}
    (tmp_path / "small.onnx").write_bytes(old)
    with running(f"small={tmp_path / 'small.onnx'}", "--reload") as server:
        load = Load(server, clients=3)
        for _ in range(3):
            replace(tmp_path / "small.onnx", new)
            server.process.send_signal(signal.SIGHUP)
            load.wait_for(load.answered + 20)
            replace(tmp_path / "small.onnx", b"broken")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reload failed, the old model stays")
            load.wait_for(load.answered + 20)
            replace(tmp_path / "small.onnx", old)
            server.process.send_signal(signal.SIGHUP)
            load.wait_for(load.answered + 20)
        server.wait_for("reloaded")
        replace(tmp_path / "small.onnx", new)
        until = time.monotonic() + 60
        final = open_session(new, "cpu", 1).run(X).tobytes()
        while final not in load.answers:
            assert time.monotonic() < until
            time.sleep(0.05)
        load.end()
        assert (load.lost, load.statuses) == (0, {200})
        assert load.answers <= wanted


def test_without_reload_a_changed_file_stays_unread(tmp_path: Path) -> None:
    """Also on SIGHUP, and when another server has seen it: the old model answers."""
    (given,) = serve_small(tmp_path)
    body, extra = binary_request(X)
    with running(given) as server, running(given, "--reload") as other:
        replace(tmp_path / "small.onnx", content(tail="Softmax"))
        other.wait_for('"reloaded"')
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reload is off")
        scores = [binary_scores(*ask(each.port, "POST", INFER, body, extra)[1:]).tobytes() for each in (server, other)]
    assert scores == [open_session(content(tail=tail), "cpu", 1).run(X).tobytes() for tail in (None, "Softmax")]


def test_versions_are_served_side_by_side(tmp_path: Path) -> None:
    """NAME:VERSION=FILE; the highest answers those who name none."""
    one, two = model_file(tmp_path, "1.onnx"), model_file(tmp_path, "2.onnx", tail="Softmax")
    with running(f"small={one}", f"small:2={two}") as server:
        assert ask_json(server.port, "GET", "/v2/models/small")[1]["versions"] == ["1", "2"]
        body, extra = binary_request(X)
        answers = {}
        for version in ("", "/versions/1", "/versions/2"):
            _, headers, found = ask(server.port, "POST", f"/v2/models/small{version}/infer", body, extra)
            answers[version] = binary_scores(headers, found).tobytes()
        assert answers[""] == answers["/versions/2"] != answers["/versions/1"]


def test_a_token_guards_everything_but_health_and_the_page(tmp_path: Path) -> None:
    """From a file or the environment; a wrong one counts like none."""
    (tmp_path / "token").write_text("s3cret\n")
    everywhere = ["--host", "0.0.0.0", "--token-file", str(tmp_path / "token")]  # noqa: S104 it has a token
    with running(*serve_small(tmp_path), *everywhere) as server:
        body, extra = binary_request(X)
        for given in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "s3cret"},
            {"Authorization": "Basic s3cret"},
        ):
            for method, path in (
                ("POST", INFER),
                ("GET", "/v2"),
                ("GET", "/metrics"),
                ("GET", "/v2/models/small/ready"),
            ):
                status, headers, answer = ask(server.port, method, path, body, {**extra, **given})
                assert (status, headers["www-authenticate"]) == (401, "Bearer")
                assert "token" in json.loads(answer)["error"]
        assert ask(server.port, "POST", INFER, body, {**extra, "Authorization": "Bearer s3cret"})[0] == 200
        assert ask(server.port, "GET", "/v2/health/ready")[0] == 200
        assert ask(server.port, "GET", "/")[0] == 200
    with running(*serve_small(tmp_path), environment={"NIN_SPEC_TOKEN": "other"}) as server:
        assert ask(server.port, "GET", "/v2")[0] == 401


def test_who_says_insecure_needs_no_token(tmp_path: Path) -> None:
    """The server listens beyond this machine, and asks for none."""
    with running(*serve_small(tmp_path), "--host", "0.0.0.0", "--insecure") as server:  # noqa: S104 as it says
        body, extra = binary_request(X)
        assert any(" on http://0.0.0.0:" in line for line in server.lines)
        assert ask(server.port, "POST", INFER, body, extra)[0] == 200


@pytest.fixture
def _loggers() -> Iterator[None]:
    """The loggers as they were: `serve` in this process sends them to the standard error of its test, which closes."""
    logs = [logging.getLogger(name) for name in ("nin_spec.serving", "uvicorn.error", "asyncio")]
    kept = [(log, log.handlers, log.propagate, log.level) for log in logs]
    yield
    for log, handlers, propagate, level in kept:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


@pytest.mark.usefixtures("_loggers")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "0.0.0.0"],  # noqa: S104 it is refused
        ["--host", "::"],
        ["--token-file", "nothing"],
        ["missing.onnx"],
        ["a b=small.onnx"],
        ["small.onnx"],  # twice
        ["--device-option", "spinning=sometimes"],
    ],
)
def test_what_can_not_be_served_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Exit code 2, and what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NIN_SPEC_TOKEN", raising=False)
    model_file(tmp_path)
    assert execute(["serve", "small.onnx", *arguments, "--port", "0", "--device", "cpu"]) == 2
    assert "error NIN7" in capsys.readouterr().err


@pytest.mark.usefixtures("_loggers")
def test_a_port_that_is_taken_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and why, before any model is looked at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--port", "--grpc-port"):
            assert execute(["serve", str(tmp_path / "missing.onnx"), option, port]) == 2
            assert f"can't listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err
    assert execute(["serve", "missing.onnx", "--port", port, "--grpc-port", port]) == 2
    assert f"--port and --grpc-port are both {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_json(port: int, data: bytes) -> None:
    """400, and the connection ends."""
    head, _, body = raw(port, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert "error" in json.loads(body)


def test_headers_without_end_are_cut_off(port: int) -> None:
    """431 in JSON after 64 KiB or little more, not memory without end."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        answer = b""
        try:
            for _ in range(10_000):
                connection.sendall(b"a" * 4096)
        except OSError:
            pass
        connection.settimeout(5)
        try:
            answer = connection.recv(4096)
        except OSError:
            answer = b""  # the reset may overtake the answer
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert ask(port, "GET", "/v2/health/live")[0] == 200


def test_logs_are_json(tmp_path: Path) -> None:
    """Every line but the one for people."""
    with running(*serve_small(tmp_path)) as server:
        assert server.stop() == 0
        server.wait_for("stopped")
        entries = [json.loads(line) for line in server.lines if not line.startswith("serving ")]
    assert {"time", "level", "message"} <= set(entries[0])
    assert entries[-1]["message"] == "stopped"


@pytest.mark.parametrize("given", [{"X-Request-Id": "mine"}, {}])
def test_a_failure_is_logged_with_its_requests_id(tmp_path: Path, given: dict[str, str]) -> None:
    """In JSON, under the id that the client was answered with."""
    body, extra = binary_request(np.full((1, 3), 99, np.float32))
    with running(f"small={picky_model(tmp_path)}") as server:
        status, headers, answer = ask(server.port, "POST", INFER, body, {**extra, **given})
        assert status == 500
        identity = headers["x-request-id"]
        assert identity == given.get("X-Request-Id", identity)
        server.wait_for(f'"{identity}"')
        (entry,) = (json.loads(line) for line in server.lines if f'"{identity}"' in line)
    assert (entry["level"], entry["request"], entry["message"]) == ("error", identity, json.loads(answer)["error"])
