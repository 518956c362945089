"""More than the model can do: who is refused, who is answered all the same, and whose time runs out."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hosted_server import Hosted, hosted
from server_process import ask, bare_scores, binary_request, binary_scores, json_request, model_file, running, until

Answer = tuple[int, dict[str, str], bytes]
INFER, CLASSIFY = "/v2/models/small/infer", "/v2/models/small/classify"
PICTURES = np.random.default_rng(5).normal(size=(5, 1, 3, 8, 8)).astype(np.float32)
PATIENT = {"timeout": 60_000_000, "binary_data_output": True}
LATE = "waited in the queue for longer than its timeout"


def infer(port: int, x: Any, **more: Any) -> Answer:
    """One picture's scores, binary."""
    body, extra = binary_request(x, **more)
    return ask(port, "POST", INFER, body, extra)


def infer_json(port: int, x: Any, **more: Any) -> Answer:
    """The same with JSON both ways."""
    return ask(port, "POST", INFER, json.dumps(json_request(x, **more)).encode())


@contextmanager
def busy(folder: Path, waiting: int, **options: Any) -> Iterator[tuple[Hosted, list[Future[Answer]]]]:
    """A server that runs one picture at a time, and has the first; the next are in its queue, which has four places."""
    with ThreadPoolExecutor(8) as clients, hosted(model_file(folder), rows=1, queue=4, **options) as server:
        asked = [clients.submit(infer, server.port, PICTURES[0], parameters=PATIENT)]
        until(lambda: server.runs == [1])
        asked += [clients.submit(infer, server.port, x, parameters=PATIENT) for x in PICTURES[1 : waiting + 1]]
        until(lambda: server.pending == waiting)
        yield server, asked


def check_refused(answer: Answer, why: str) -> None:
    """503: when to come back, and why, in JSON."""
    status, headers, body = answer
    assert (status, headers["content-type"]) == (503, "application/json")
    assert int(headers["retry-after"]) >= 1
    assert why in json.loads(body)["error"]


def check_answered(asked: list[Future[Answer]]) -> None:
    """Each with the scores of its own picture."""
    for x, each in zip(PICTURES, asked, strict=False):
        status, headers, body = each.result()
        assert status == 200
        assert binary_scores(headers, body).tobytes() == bare_scores(x).tobytes()


def test_a_full_queue_refuses_and_answers_what_it_took(tmp_path: Path) -> None:
    """Health is reported even while it refuses."""
    with busy(tmp_path, waiting=4) as (server, asked):
        for ask_one in (infer, infer_json, infer):
            check_refused(ask_one(server.port, PICTURES[0]), "the queue is full: 4 rows wait")
            assert ask(server.port, "GET", "/v2/health/ready")[0] == 200
        assert server.served.statistics.failure == {"REJECTED": 3}
        server.gate.set()
        check_answered(asked)
        assert infer(server.port, PICTURES[0])[0] == 200


@pytest.mark.parametrize("path", [INFER, CLASSIFY])
@pytest.mark.parametrize("lines", ["", "Expect: 100-continue\r\n"])
def test_a_full_queue_refuses_a_body_that_was_only_announced(tmp_path: Path, path: str, lines: str) -> None:
    """It isn't waited for: reading it would be for nothing."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n{lines}\r\n".encode()
    with busy(tmp_path, waiting=4) as (server, asked):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(head)
            answer = client.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: " in answer
        server.gate.set()
        check_answered(asked)


def test_a_request_says_how_long_it_waits(tmp_path: Path) -> None:
    """In microseconds: answered then, while the model is still busy, and never run."""
    patience = {"timeout": 20_000}
    with busy(tmp_path, waiting=1, timeout=3600.0) as (server, asked):
        for ask_one in (infer, infer_json):
            check_refused(ask_one(server.port, PICTURES[0], parameters=patience), LATE)
        assert server.pending == 1
        server.gate.set()
        check_answered(asked)
        assert server.runs == [1, 1]


def test_nobody_waits_for_longer_than_the_server_says(tmp_path: Path) -> None:
    """Who says nothing, nor who asks for more: the one whose turn it was is answered."""
    with busy(tmp_path, waiting=0, timeout=0.02) as (server, asked):
        for more in ({}, {"parameters": PATIENT}):
            check_refused(infer(server.port, PICTURES[0], **more), LATE)
        server.gate.set()
        check_answered(asked)
        assert server.runs == [1]


def test_a_process_refuses_under_load_and_stays_healthy(tmp_path: Path) -> None:
    """`--max-queue`: twenty-four clients ask, and there is room for one beside the one that runs."""
    path = model_file(tmp_path, shape=("N", 3, 96, 96), classes=64)
    x = np.zeros((8, 3, 96, 96), np.float32)
    limits = ("--max-queue", "8", "--max-batch", "8")
    with running(f"small={path}", *limits) as server, ThreadPoolExecutor(24) as clients:
        asked = [clients.submit(infer, server.port, x) for _ in range(96)]
        for _ in range(5):
            assert ask(server.port, "GET", "/v2/health/ready")[0] == 200
        answers = [each.result() for each in asked]
    assert {status for status, _, _ in answers} == {200, 503}
    for answer in answers:
        if answer[0] == 503:
            check_refused(answer, "the queue is full")


def test_a_process_lets_nobody_wait_for_longer_than_it_says(tmp_path: Path) -> None:
    """`--timeout`: behind seven others, of some ten milliseconds each, a turn comes too late."""
    path = model_file(tmp_path, shape=("N", 3, 192, 192), classes=128)
    x = np.zeros((8, 3, 192, 192), np.float32)
    limits = ("--max-queue", "1000", "--max-batch", "8", "--timeout", "0.01")
    with running(f"small={path}", *limits) as server, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: infer(server.port, x), range(24)))
    late = [answer for answer in answers if answer[0] != 200]
    assert late
    for answer in late:
        check_refused(answer, LATE)
