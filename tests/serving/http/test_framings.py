"""Whatever bytes come as a request: JSON, no 5xx, and the next good request is exact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from examples import many
from hypothesis import given
from server_process import binary_scores, model_file
from wild_requests import BODY, EXTRA, INFER, SQUEEZED, framings

from nin_spec.serving.http.app import App
from nin_spec.serving.limits import MemoryBudget
from nin_spec.serving.models import Choice, Repository, Source, open_all
from nin_spec.serving.service import Service


class Local:
    """The application in this process, on a loop of its own."""

    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.runner.run(self._start(path))
        _, self.headers, self.body = self.ask(BODY, EXTRA)

    async def _start(self, path: Path) -> None:
        choice = Choice("cpu", 1, 8)
        self.repository, self.budget = Repository(choice), MemoryBudget(1 << 20)
        for opened in open_all([Source(path, "small")], choice):
            self.repository.add(opened)
        app: Any = App(Service(self.repository), self.budget)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local")

    def ask(self, body: bytes, headers: dict[str, str], path: str = INFER) -> tuple[int, httpx.Headers, bytes]:
        answer = self.runner.run(self.client.post(path, content=body, headers=headers))
        return answer.status_code, answer.headers, answer.content

    def end(self) -> None:
        async def end() -> None:
            await self.client.aclose()
            await self.repository.close()
            self.budget.close()

        self.runner.run(end())
        self.runner.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """One application for all the requests of this file."""
    local = Local(model_file(tmp_path_factory.mktemp("framings")))
    yield local
    local.end()


def check(local: Local, framing: tuple[bytes, dict[str, str]]) -> None:
    body, extra = framing
    status, headers, answer = local.ask(body, extra)
    assert status in {200, 400, 413, 503}
    if status == 200:
        length = int(headers.get("inference-header-content-length", len(answer)))
        json.loads(answer[:length], parse_constant=pytest.fail)
    else:
        assert isinstance(json.loads(answer)["error"], str)
    status, headers, answer = local.ask(BODY, EXTRA)
    assert (status, answer) == (200, local.body)
    assert local.budget.reserved == 0


@given(framing=framings())
@many
def test_any_framing_is_answered_in_json(local: Local, framing: tuple[bytes, dict[str, str]]) -> None:
    """200 or a refusal that says why; never a 5xx but the deliberate 503."""
    check(local, framing)


def test_the_good_request_is_exact(local: Local) -> None:
    """What the others are compared with."""
    assert binary_scores(dict(local.headers), local.body).shape == (2, 4)


@pytest.mark.parametrize("coding", SQUEEZED)
def test_a_compressed_body_is_read_whole_or_not_at_all(local: Local, coding: str) -> None:
    """Cut off anywhere, also in the sum at its end, it is refused."""
    body, extra = SQUEEZED[coding], {**EXTRA, "Content-Encoding": coding}
    assert local.ask(body, extra)[::2] == (200, local.body)
    for end in [*range(0, len(body) - 9, 97), *range(len(body) - 9, len(body))]:
        status, _, answer = local.ask(body[:end], extra)
        assert (status, "can't be decompressed" in json.loads(answer)["error"]) == (400, True), end
    check(local, (body + b"x", extra))
