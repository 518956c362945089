"""Web pages of other origins are refused, and every program that names the server rightly is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_process import ask, model_file, running

from nin_spec.serving.http.guard import Guard

LOCAL, PROXIED, OPEN = Guard.of("127.0.0.1"), Guard.of("127.0.0.1", ["API.example"]), Guard.of("0.0.0.0")  # noqa: S104
NAVIGATED = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
PASSED = [
    (LOCAL, "POST", {"host": "localhost:8000"}),
    (LOCAL, "POST", {"host": "127.0.0.1:9999"}),
    (LOCAL, "POST", {"host": "LOCALHOST."}),
    (LOCAL, "POST", {"host": "[::1]:8000"}),
    (LOCAL, "POST", {"host": "models.localhost:80"}),
    (LOCAL, "GET", {}),
    (LOCAL, "POST", {"host": "localhost:8000", "origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}),
    (LOCAL, "GET", {"host": "localhost", "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}),
    (LOCAL, "GET", {"host": "localhost", **NAVIGATED}),
    (PROXIED, "POST", {"host": "api.example", "origin": "https://api.example"}),
    (PROXIED, "POST", {"host": "localhost:8000"}),
    (OPEN, "POST", {"host": "model.default.svc.cluster.local"}),
    (OPEN, "POST", {"host": "model:8000", "origin": "http://model:8000"}),
]
REFUSED = [
    (LOCAL, "POST", {"host": "evil.example:8000"}),
    (LOCAL, "GET", {"host": "localhost.evil.example"}),
    (LOCAL, "GET", {"host": "127.0.0.1.evil.example:8000"}),
    (LOCAL, "GET", {"host": "user@localhost"}),
    (LOCAL, "POST", {"host": "evil.example:8000", "origin": "http://evil.example:8000"}),
    (LOCAL, "POST", {"host": "localhost:8000", "origin": "http://evil.example"}),
    (LOCAL, "POST", {"host": "localhost:8000", "origin": "http://localhost:3000"}),
    (LOCAL, "POST", {"host": "localhost:8000", "origin": "null"}),
    (LOCAL, "GET", {"host": "localhost:8000", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
    (LOCAL, "POST", {"host": "localhost:8000", **NAVIGATED}),
    (PROXIED, "POST", {"host": "other.example"}),
    (PROXIED, "POST", {"host": "api.example", "origin": "https://evil.example"}),
    (OPEN, "POST", {"host": "model:8000", "origin": "http://evil.example"}),
    (OPEN, "GET", {"host": "model:8000", "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}),
]


def refusal(guard: Guard, method: str, headers: dict[str, str]) -> str | None:
    """What the guard says of a request."""
    return guard.refusal(method, [(k.encode(), v.encode()) for k, v in headers.items()])


@pytest.mark.parametrize(("guard", "method", "headers"), PASSED, ids=str)
def test_programs_and_the_own_page_pass(guard: Guard, method: str, headers: dict[str, str]) -> None:
    """By an address, a name of this machine or an allowed one; a link from elsewhere may be followed."""
    assert refusal(guard, method, headers) is None


@pytest.mark.parametrize(("guard", "method", "headers"), REFUSED, ids=str)
def test_pages_of_other_origins_are_refused(guard: Guard, method: str, headers: dict[str, str]) -> None:
    """By Origin, by what browsers say of a fetch, and under a name that someone led here."""
    assert refusal(guard, method, headers) is not None


def test_a_running_server_refuses_them(tmp_path: Path) -> None:
    """On every path, probes included, and allows what --allow-host names."""
    model = model_file(tmp_path)
    with running(str(model), "--allow-host", "api.example") as server:
        for path in ("/", "/v2/health/live", "/v2/models/small", "/metrics"):
            assert ask(server.port, "GET", path)[0] == 200
            assert ask(server.port, "GET", path, headers={"Host": "api.example"})[0] == 200
            assert ask(server.port, "GET", path, headers={"Host": "evil.example"})[0] == 403
        for path in ("/v2/models/small/infer", "/v2/models/small/classify"):
            status, headers, body = ask(server.port, "POST", path, b"{}", {"Origin": "http://evil.example"})
            assert (status, headers["content-type"]) == (403, "application/json")
            assert b"other origins" in body
