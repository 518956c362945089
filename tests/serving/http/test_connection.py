"""Connections that misbehave, stall or leave: each gets its answer or its end, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from hosted_server import hosted
from server_process import (
    Process,
    ask,
    binary_request,
    binary_scores,
    json_request,
    model_file,
    raw,
    running,
    until,
)
from slow_server import (
    CANCELED,
    CHUNKED,
    INFER,
    LAST,
    LIVE,
    OPENAPI,
    PENDING,
    X,
    metric,
    post,
    send_all_that_is_taken,
    slow_model,
    statuses,
)

from nin_spec.runtime.session import open_session
from nin_spec.serving.http.connection import Connection


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One that waits two seconds for who sends or reads."""
    path = slow_model(tmp_path_factory.mktemp("connection"))
    with running(f"slow={path}", "--max-queue", "1000", "--max-batch", "8", "--read-timeout", "2") as server:
        yield server


def test_who_leaves_is_not_run_however_much_was_sent(server: Process) -> None:
    """A body of megabytes pauses the reading; the end of the connection is seen all the same."""
    body, extra = binary_request(X)
    before = metric(server, CANCELED)
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(ask, server.port, "POST", INFER, body, extra) for _ in range(60)]
        until(lambda: metric(server, PENDING) > 10)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as leaving:
                leaving.sendall(post(INFER, body, **extra))
        assert {each.result()[0] for each in asked} == {200}
    until(lambda: metric(server, CANCELED) == before + 3)


def test_two_hundred_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    """Sixty stop in the head, sixty in the body; sixty have sent all and leave, and twenty read none of megabytes."""
    path = model_file(tmp_path, shape=("N", 3, 3, 3), classes=20_000)
    x = np.random.default_rng(5).normal(size=(16, 3, 3, 3)).astype(np.float32)
    body = json.dumps(json_request(x)).encode()
    whole = post("/v2/models/small/infer", body)
    head = len(whole) - len(body)
    parts = [whole[: head * k // 61] for k in range(1, 61)]
    parts += [whole[: head + len(body) * k // 60] for k in range(60)] + [whole] * 80
    with hosted(path, rows=16, queue=10_000, read_timeout=2.5) as server, ExitStack() as closing:
        clients = [closing.enter_context(narrow_client(server.port)) for _ in parts]
        until(lambda: server.holds["connections"] == 200)
        for client, part in zip(clients, parts, strict=True):
            client.sendall(part)
        until(lambda: server.pending == 79 and server.runs == [16])
        for k, client in enumerate(clients[120:180]):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", k % 2, 0))  # half reset it
            client.close()
        server.gate.set()
        until(lambda: not any(server.holds.values()))
        status, headers, answer = ask(server.port, "POST", "/v2/models/small/infer", *binary_request(x[:1]))
    assert status == 200
    assert binary_scores(headers, answer).tobytes() == open_session(path, "cpu", 1).run(x[:1]).tobytes()


def narrow_client(port: int) -> socket.socket:
    """A connection for which the system keeps little that it doesn't read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    return client


def test_trailers_without_end_are_cut_off(server: Process) -> None:
    """They count as headers do, also for who has been answered long ago."""
    found = raw(server.port, CHUNKED + b"a: b\r\n" * 100_000)
    assert statuses(found) in ([431], [])  # the reset may overtake the answer
    assert ask(server.port, "GET", "/v2/health/live")[0] == 200


def test_a_few_trailers_are_passed_over(server: Process) -> None:
    """The request is what it is without them."""
    found = raw(server.port, CHUNKED + b"a: b\r\n\r\n" + LIVE.replace(b"\r\n\r\n", LAST))
    assert statuses(found) == [400, 200]


def test_a_request_that_begins_behind_another_has_its_time_too(server: Process) -> None:
    """Its clock starts where it does, not with the next bytes that come."""
    cut = post(INFER, b"x" * 100)[:-50]
    assert statuses(raw(server.port, LIVE + cut)) == [200, 408]


def test_who_reads_nothing_is_hung_up_on(server: Process) -> None:
    """Two thousand answers that nobody takes are not kept for ever."""
    with narrow_client(server.port) as client:
        client.settimeout(20)
        with pytest.raises(ConnectionError):
            send_for_ever(client, OPENAPI * 5000)
        assert ask(server.port, "GET", "/v2/health/live")[0] == 200


def send_for_ever(client: socket.socket, data: bytes) -> None:
    """Until somebody hangs up, or its time-out."""
    while True:
        client.sendall(data)


def test_who_reads_slowly_gets_everything(server: Process) -> None:
    """Taking longer than the time-out is allowed while something is read."""
    count = 250
    with narrow_client(server.port) as client:
        data = OPENAPI * (count - 1) + OPENAPI.replace(b"\r\n\r\n", LAST)
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        found, begun = b"", time.monotonic()
        while chunk := client.recv(1 << 15):
            found += chunk
            if time.monotonic() - begun < 3:
                time.sleep(0.1)
        sender.join()
    assert statuses(found) == [200] * count


@pytest.mark.parametrize(("path", "status"), [("/v2/models/none/infer", 404), ("/v2/models/none/classify", 404)])
def test_a_refusal_reaches_who_still_sends(server: Process, path: str, status: int) -> None:
    """Closing on unread bytes would reset the connection, and the answer with it."""
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", path, bytes(5 << 20), {"Connection": "close"})
        answer = connection.getresponse()
        assert answer.status == status
        assert "error" in json.loads(answer.read())
        connection.close()


def test_pipelined_requests_may_be_cut_anywhere(server: Process) -> None:
    """Many short heads are not one long one."""
    count, size = 3000, 997
    data = LIVE * (count - 1) + LIVE.replace(b"\r\n\r\n", LAST)
    found = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            client.sendall(data[start : start + size])
            want = data[: start + size].count(b"\r\n\r\n")
            while len(statuses(found)) < want:
                chunk = client.recv(1 << 16)
                assert chunk, "hung up on"
                found += chunk
    assert statuses(found) == [200] * count


@pytest.mark.parametrize(
    "start",
    [
        b"POST /v2/models/none/infer HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v2/models HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n",
    ],
)
def test_a_request_that_breaks_off_is_answered_once(server: Process, start: bytes) -> None:
    """What was about to respond learns that nobody listens, and writes neither a response nor to the log."""
    before = len(server.lines)
    found = raw(server.port, start + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n")
    assert [status for status in statuses(found) if status != 100] == [400]
    assert ask(server.port, "GET", "/v2/health/live")[0] == 200
    assert "Traceback" not in "".join(server.lines[before:])


def test_who_leaves_with_requests_in_line_leaves_no_trace(server: Process) -> None:
    """The first of several that were sent at once is nobody's any more, either."""
    before = len(server.lines)
    cut = post(INFER, b"x" * 100)[:-50]
    for sent in (OPENAPI * 3, post(INFER, b"x") * 3, cut, post(INFER, b"x") + OPENAPI + cut):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.sendall(sent)
    body, extra = binary_request(X)
    assert ask(server.port, "POST", INFER, body, extra)[0] == 200
    assert server.lines[before:] == []


def test_the_last_answer_is_whole_though_more_was_sent(server: Process) -> None:
    """Requests behind one that asked to close are not read, and don't cost it its answer."""
    last = OPENAPI.replace(b"\r\n\r\n", LAST)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            sender = threading.Thread(target=send_all_that_is_taken, args=(client, last + LIVE * 20_000))
            sender.start()
            found = b""
            while chunk := client.recv(1 << 16):
                found += chunk
            sender.join()
        head, _, body = found.partition(b"\r\n\r\n")
        assert statuses(head) == [200]
        json.loads(body)


def test_an_empty_line_is_not_a_request(server: Process) -> None:
    """RFC 9112 (2.2): it starts no clock, and what comes later has its own."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"\r\n")
        client.settimeout(2)  # longer than a request may take
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.sendall(LIVE)
        assert statuses(client.recv(1 << 16)) == [200]


def test_what_follows_an_offer_to_upgrade_is_read(server: Process) -> None:
    """In the same segment as well; Java's client makes such offers."""
    offer = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert statuses(raw(server.port, offer * 200 + LIVE.replace(b"\r\n\r\n", LAST))) == [200] * 201


OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}


def chunked(path: str, body: bytes, **headers: str) -> bytes:
    """A whole request, its body in pieces, with a trailer."""
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[k : k + 50]), body[k : k + 50]) for k in range(0, len(body), 50))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{lines}\r\n".encode()
    return head + pieces + b"0\r\nX-Trailer: y\r\n\r\n"


@pytest.mark.parametrize("frame", [post, chunked])
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_body_behind_an_offer_to_upgrade_is_its_requests_own(
    server: Process, frame: Callable[..., bytes], size: int
) -> None:
    """However it is cut; and what follows it is the next request."""
    body = json.dumps(json_request(np.zeros((1, 3, 2, 2), np.float32), id="mine")).encode()
    data = frame(INFER, body, **OFFER) + LIVE.replace(b"\r\n\r\n", LAST)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            client.sendall(data[start : start + size])
        found = b""
        while chunk := client.recv(1 << 16):
            found += chunk
    assert statuses(found) == [400, 200]
    assert b"has shape [-1, 3, 192, 192], but [1, 3, 2, 2] was sent" in found  # so the tensor was read


@pytest.mark.parametrize("body", [b"", LIVE, LIVE * 3])
def test_a_body_is_never_a_request(server: Process, body: bytes) -> None:
    """Behind a proxy that passes offers on, it would be another client's."""
    found = raw(server.port, post(INFER, body, **OFFER) + LIVE.replace(b"\r\n\r\n", LAST))
    assert statuses(found) == [400, 200]


def test_a_body_of_no_known_length_behind_an_offer_is_refused(server: Process) -> None:
    """As without the offer."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: strange\r\n"
    for lines in ("", "Connection: Upgrade\r\nUpgrade: h2c\r\n"):
        found = raw(server.port, f"{head}{lines}\r\nabc".encode(), wait=3)
        assert set(statuses(found)) == {400}, found


@pytest.mark.parametrize("offer", [{}, OFFER])
def test_the_body_of_a_connect_is_not_a_request(server: Process, offer: dict[str, str]) -> None:
    """There is nothing to connect to, and what it sends is not meant for us."""
    lines = "".join(f"{k}: {v}\r\n" for k, v in offer.items())
    head = f"CONNECT x:80 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LIVE)}\r\n{lines}\r\n".encode()
    assert 200 not in statuses(raw(server.port, head + LIVE, wait=2))


def test_behind_its_last_word_nothing_is_read() -> None:
    """Who was refused, and waits for the answers to what came before, can ask nothing more."""
    connection, parser = Connection.__new__(Connection), Mock()
    vars(connection).update(_last_word=(408, "too slow"), loop=Mock(), parser=parser)
    connection.data_received(LIVE)
    parser.feed_data.assert_not_called()


def test_every_request_in_line_learns_that_its_client_left() -> None:
    """Uvicorn tells the one that came last; the one that is being answered is the one that must know."""
    first, last = (
        SimpleNamespace(response_complete=False, disconnected=False, message_event=asyncio.Event()) for _ in range(2)
    )
    connection = Connection.__new__(Connection)
    vars(connection).update(cycle=last, _turn=first, connections={connection}, flow=None, transport=Mock())
    vars(connection).update(logger=Mock(level=logging.INFO), timeout_keep_alive_task=None)
    connection.connection_lost(None)
    assert connection.lost
    assert first.disconnected
    assert first.message_event.is_set()
    assert last.disconnected
