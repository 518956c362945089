"""Whatever comes over a connection: an answer in JSON, nothing left behind, and the next request exact."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from server_process import CARD, SERVE, Process, ask, model_file, raw, running
from wild_requests import BODY, EXTRA, INFER, wired, wires

LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HUGE = "Content-Length: 9999999\r\n\r\nx"
FINE = {100, 200, 400, 403, 404, 405, 408, 413, 429, 431, 503}
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server of the small model that takes bodies of 1 MiB."""
    path = model_file(tmp_path_factory.mktemp("wire"), metadata=CARD)
    with running(f"small={path}", "--max-body", "1", "--device-option", "spinning=never") as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One that waits half a second for a request to come in."""
    path = model_file(tmp_path_factory.mktemp("hasty"))
    with running(f"small={path}", "--max-body", "1", "--read-timeout", "0.5") as server:
        yield server


def answers(data: bytes) -> Iterator[Answer]:
    """The answers in what came back; the last may be cut off, and is left out then."""
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        length = 0 if data.startswith(b"HTTP/1.1 ") else int(headers.get("content-length", 0))  # HEAD's has no body
        yield int(start.split(" ")[1]), headers, data[:length]
        data = data[length:]


def first(port: int, data: bytes) -> Answer:
    """The first answer to bytes, once it is whole; the connection may stay open behind it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        found = b""
        while True:
            found += (chunk := connection.recv(1 << 16))
            for answer in answers(found):
                if len(answer[2]) == int(answer[1].get("content-length", 0)):
                    return answer
            assert chunk, found


def check_good(server: Process) -> None:
    """A good request is answered as ever."""
    status, _, answer = ask(server.port, "POST", INFER, BODY, EXTRA)
    assert (status, answer) == (200, GOOD.setdefault(server.port, answer))


GOOD: dict[int, bytes] = {}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST {path} HTTP/1.1|Content-Length: 1|Content-Length: 2", 400),
        ("POST {path} HTTP/1.1|Content-Length: 1|Transfer-Encoding: chunked", 400),
        ("POST {path} HTTP/1.1|Content-Length: -1", 400),
        ("POST {path} HTTP/1.1|Content-Length: 99999999999999999999999", 400),
        ("POST {path} HTTP/1.1|Content-Length: 1099511627776", 413),
        ("POST {path} HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||zz", 400),
        ("POST {path} HTTP/1.1|X: a\0b", 400),
        ("CONNECT host:80 HTTP/1.1", 400),
        ("GET /v2/models/\xe9 HTTP/1.1", 400),
        ("GET /v2/models/%e9 HTTP/1.1", 404),
        ("GET /v2/models/%C3%A9%00 HTTP/1.1", 404),
        ("GET /../../etc/passwd HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("OPTIONS {path} HTTP/1.1", 405),
        ("PRI * HTTP/2.0", 400),
        ("GET /v2/health/live HTTP/1.0", 200),
        ("GET /v2/health/live HTTP/1.1||", 400),
        ("GET /v2/health/live HTTP/1.1|Host: localhost|Host: localhost", 400),
        ("GET /v2/health/live HTTP/1.0||", 200),
        ("GET http://elsewhere/v2/health/live HTTP/1.1", 200),
        ("GET /v2/health/live HTTP/1.1|Upgrade: h2c|Connection: Upgrade, HTTP2-Settings", 200),
        ("GET /v2/health/live HTTP/1.1|Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: x", 200),
    ],
)
def test_odd_requests_are_answered_in_json(server: Process, head: str, status: int) -> None:
    """What RFC 9112 forbids is refused, and what it allows is answered."""
    data = head.format(path=INFER).replace("|", "\r\n").encode("latin-1")
    data += b"\r\n\r\n" if "||" in head or "Host" in head else b"\r\nHost: localhost\r\n\r\n"
    found, headers, body = first(server.port, data)
    assert found == status
    assert headers["content-type"] == "application/json"
    assert json.loads(body)
    check_good(server)


def test_a_head_has_no_body(server: Process) -> None:
    """HEAD: the lines of GET, and nothing after them."""
    answer = raw(server.port, LAST.replace(b"GET", b"HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_who_waits_to_be_asked_for_the_body_is_asked(server: Process) -> None:
    """Expect: 100-continue, as curl sends it with a large body."""
    head, _, body = wired(BODY, {**EXTRA, "Expect": "100-continue", "Connection": "close"}).partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(99).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_body_without_end_is_cut_off(server: Process) -> None:
    """413 once it is larger than the server takes."""
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(20):
            connection.sendall(chunk)
        assert connection.recv(1 << 12).startswith(b"HTTP/1.1 413 ")
    check_good(server)


@pytest.mark.parametrize(("lines", "status"), [("", 408), ("Content-Length: 9\r\n\r\nx", 408), (HUGE, 413)])
def test_who_never_ends_is_hung_up_on(hasty: Process, lines: str, status: int) -> None:
    """An unfinished head or body gets a response that says so; what was refused before its end gets no second one."""
    data = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\n{lines}".encode()
    assert [found for found, _, _ in answers(raw(hasty.port, data))] == [status]


def test_pipelined_requests_are_answered_in_their_order(server: Process) -> None:
    """Quick ones wait for slow ones."""
    data = wired(BODY, {**EXTRA, "X-Request-Id": "a"}) + LAST.replace(b"close", b"keep-alive")
    data += wired(BODY, {**EXTRA, "X-Request-Id": "b"}) + LAST
    found = list(answers(raw(server.port, data)))
    assert [status for status, _, _ in found] == [200] * 4
    assert [headers["x-request-id"] for _, headers, _ in found][::2] == ["a", "b"]
    assert found[0][2] == found[2][2]


@pytest.mark.parametrize("end", [b"garbage\r\n\r\n", b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_what_follows_a_request_and_is_not_one_is_reported_after_it(server: Process, end: bytes) -> None:
    """The request before it has its own answer first."""
    found = list(answers(raw(server.port, wired(BODY, EXTRA) + wired(BODY, EXTRA) + end)))
    assert [status for status, _, _ in found] == [200, 200, 400]


def test_no_connection_pipelines_without_end(server: Process) -> None:
    """Some hundred may wait; who sends more gets a response that says so, and no more is read."""
    found = list(answers(raw(server.port, LAST.replace(b"close", b"keep-alive") * 5000)))
    assert [status for status, _, _ in found] == [200] * (len(found) - 1) + [429]
    assert len(found) > 256
    check_good(server)


def test_a_log_that_nobody_reads_any_more_stops_nothing(tmp_path: Path) -> None:
    """Standard error is closed at the other end: requests are answered, and the server drains."""
    command = [*SERVE, f"small={model_file(tmp_path)}", "--port", "0", "--device", "cpu", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = next(int(found[1]) for line in process.stderr if (found := re.search(r"on http://\S+:(\d+)", line)))
        process.stderr.close()
        try:
            for _ in range(3):
                assert raw(port, b"this is no request\r\n\r\n").startswith(b"HTTP/1.1 400 ")
                assert ask(port, "POST", INFER, BODY, EXTRA)[0] == 200
        finally:
            process.terminate()
        assert process.wait(60) == 0


def memory_of(pid: int) -> float:
    """Resident now, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def check_wire(server: Process, data: bytes) -> None:
    """Every answer is one that the server gives on purpose, in the form that it promises."""
    for status, headers, body in answers(raw(server.port, data + LAST, wait=0.05)):
        assert status in FINE
        if status == 100 or not body:
            continue
        if headers["content-type"] == "application/octet-stream":
            assert status == 200
        elif body.startswith(b"<!"):
            assert (status, body) == ask(server.port, "GET", "/")[::2]  # the page, which "//" is, too
        else:
            assert headers["content-type"] == "application/json"
            json.loads(body, parse_constant=pytest.fail)
    check_good(server)


@given(data=wires())
def test_any_bytes_are_survived(server: Process, data: bytes) -> None:
    """Each is answered or closed, and the next is served."""
    check_wire(server, data)


@pytest.mark.long
@pytest.mark.parametrize("warm_up", [True, False])
def test_ten_thousand_connections_are_survived(server: Process, warm_up: bool) -> None:  # noqa: FBT001
    """And the memory that they take is given back: what a thousand left is what ten thousand more leave."""
    before = memory_of(server.process.pid)

    @given(data=wires())
    @settings(max_examples=1_000 if warm_up else 10_000, database=None, phases=[Phase.generate])
    def ask_all(data: bytes) -> None:
        check_wire(server, data)

    ask_all()
    after = memory_of(server.process.pid)
    print(f"{before:.1f} MiB before, {after:.1f} MiB after")  # noqa: T201 pytest -s shows it
    assert warm_up or after < 1.1 * before
