"""The end: what was accepted is answered, and what is left when the time is up is refused, not dropped."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from server_process import (
    ask,
    binary_request,
    running,
    until,
)
from slow_server import (
    INFER,
    OPENAPI,
    PENDING,
    X,
    metric,
    send_all_that_is_taken,
    slow_model,
    statuses,
)


def test_a_second_signal_runs_nothing_more(tmp_path: Path) -> None:
    """What waits in the queue is given up, and the process ends by itself."""
    body, extra = binary_request(X)
    with running(f"slow={slow_model(tmp_path)}", "--max-queue", "1000", "--max-batch", "8") as server:
        answered: list[int] = []

        def one() -> None:
            try:
                answered.append(ask(server.port, "POST", INFER, body, extra)[0])
            except (OSError, http.client.HTTPException):
                return

        threads = [threading.Thread(target=one) for _ in range(60)]
        for thread in threads:
            thread.start()
        until(lambda: metric(server, PENDING) > 15)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        assert server.stop(signal.SIGTERM) == 0
        for thread in threads:
            thread.join()
        assert answered.count(200) < 60


def test_a_request_that_is_still_being_sent_when_the_time_is_up_is_refused(tmp_path: Path) -> None:
    """In JSON; and who reads nothing of an answer is left, without a word in the log."""
    path = slow_model(tmp_path)
    head = b"POST /v2/models/slow/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n%s\r\nabc"
    with running(f"slow={path}", "--drain", "0.3") as server, ExitStack() as closing:
        clients = []
        for what in (b"infer", b"classify"):
            for more in (b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"):
                client = closing.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
                client.sendall(head % (what, more))
                clients.append(client)
        deaf = closing.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        send_all_that_is_taken(deaf, OPENAPI * 200)
        assert ask(server.port, "GET", "/v2/health/live")[0] == 200
        assert server.stop(signal.SIGTERM) == 0
        for client in clients:
            answer = client.recv(1 << 16)
            assert statuses(answer) == [503]
            assert b"\r\nretry-after: 1\r\n" in answer
            assert answer.endswith(b'{"error": "the server is closing"}')
        assert not any("raceback" in line or "rror" in line for line in server.lines)


def test_what_still_waits_when_the_time_is_up_is_refused(tmp_path: Path) -> None:
    """In JSON, as what may be sent again elsewhere; what was running is answered."""
    path, (body, headers) = slow_model(tmp_path), binary_request(X)
    with running(f"slow={path}", "--max-queue", "1000", "--max-batch", "8", "--drain", "0") as server:
        with ThreadPoolExecutor(30) as pool:
            asked = [pool.submit(ask, server.port, "POST", INFER, body, headers) for _ in range(30)]
            until(lambda: metric(server, PENDING) >= 10)
            assert server.stop(signal.SIGTERM) == 0
        answers = [future.result() for future in asked if not future.exception()]
        refused = [answer for answer in answers if answer[0] != 200]
        assert refused
        for status, lines, text in refused:
            assert (status, lines["retry-after"]) == (503, "1")
            # The second is what a client receives that was still sending.
            assert json.loads(text)["error"] in {"the model is being closed", "the server is closing"}
        assert not any("rror" in line for line in server.lines)
