"""Whatever bytes come as a request: JSON, no 5xx, and the next good request is exact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import binary_request, binary_scores, model_file

from nin_spec.serving.app import App
from nin_spec.serving.limits import Intake
from nin_spec.serving.models import Choice, Repository, Source, open_all
from nin_spec.serving.service import Service

X = np.random.default_rng(5).normal(size=(2, 3, 8, 8)).astype(np.float32)
BODY, EXTRA = binary_request(X)
INFER = "/v2/models/small/infer"


class Local:
    """The application in this process, on a loop of its own."""

    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.runner.run(self._start(path))
        _, self.headers, self.body = self.ask(BODY, EXTRA)

    async def _start(self, path: Path) -> None:
        choice = Choice("cpu", 1, 8)
        self.repository, self.intake = Repository(choice), Intake(1 << 20)
        for opened in open_all([Source(path, "small")], choice):
            self.repository.add(opened)
        app: Any = App(Service(self.repository), self.intake)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local")

    def ask(self, body: bytes, headers: dict[str, str], path: str = INFER) -> tuple[int, httpx.Headers, bytes]:
        answer = self.runner.run(self.client.post(path, content=body, headers=headers))
        return answer.status_code, answer.headers, answer.content

    def end(self) -> None:
        async def end() -> None:
            await self.client.aclose()
            await self.repository.close()
            self.intake.close()

        self.runner.run(end())
        self.runner.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """One application for all the requests of this file."""
    local = Local(model_file(tmp_path_factory.mktemp("framings")))
    yield local
    local.end()


odd: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.text(max_size=5)
odd = odd | st.lists(odd, max_size=3) | st.dictionaries(st.text(max_size=4), odd, max_size=2)
shapes = st.just([2, 3, 8, 8]) | st.lists(st.integers(-1, 9) | st.just(2**40), max_size=5) | odd
parameters = odd | st.fixed_dictionaries(
    {},
    optional={
        "binary_data_size": st.sampled_from([1536, 0, 1535, 2**40]) | odd,
        "binary_data": st.booleans() | odd,
        "binary_data_output": st.booleans() | odd,
        "classification": st.integers(-1, 9) | odd,
        "timeout": st.integers(-1, 10**7) | odd,
        "shared_memory_region": odd,
    },
)
inputs = odd | st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("input") | odd,
        "datatype": st.sampled_from(["FP32", "FP16", "INT64", "BYTES", "BOOL"]) | odd,
        "shape": shapes,
        "data": st.lists(st.integers(0, 2) | odd, max_size=9) | st.just([0.5] * 384) | odd,
        "parameters": parameters,
    },
)
requests = odd | st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=8) | odd,
        "inputs": st.lists(inputs, max_size=3) | odd,
        "outputs": st.lists(
            odd | st.fixed_dictionaries({}, optional={"name": st.just("scores") | odd, "parameters": parameters}),
            max_size=2,
        )
        | odd,
        "parameters": parameters,
    },
)


@st.composite
def framings(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A body and its headers: near to good, damaged, or noise."""
    kind = draw(st.sampled_from(["generated", "damaged", "noise"]))
    if kind == "noise":
        return draw(st.binary(max_size=300)), draw(st.sampled_from([{}, {"Inference-Header-Content-Length": "5"}]))
    if kind == "damaged":
        at, byte = draw(st.integers(0, 250)), draw(st.integers(0, 255))
        cut = draw(st.integers(0, len(BODY)))
        return (BODY[:at] + bytes([byte]) + BODY[at + 1 :])[: cut or None], EXTRA
    text = json.dumps(draw(requests)).encode()
    tail = draw(st.sampled_from([b"", X.tobytes(), b"x"]))
    length = draw(st.sampled_from([None, "0", str(len(text)), "-1", "1e3", "99999999999999999999"]))
    coding = draw(st.sampled_from([{}, {}, {}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}]))
    return text + tail, coding if length is None else {**coding, "Inference-Header-Content-Length": length}


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
    assert local.intake.held == 0


_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@given(framing=framings())
@settings(max_examples=300, deadline=None, suppress_health_check=_SHARED)
def test_any_framing_is_answered_in_json(local: Local, framing: tuple[bytes, dict[str, str]]) -> None:
    """200 or a refusal that says why; never a 5xx but the deliberate 503."""
    check(local, framing)


@pytest.mark.long
@given(framing=framings())
@settings(max_examples=10_000, deadline=None, suppress_health_check=_SHARED)
def test_ten_thousand_framings_are_answered_in_json(local: Local, framing: tuple[bytes, dict[str, str]]) -> None:
    """The same, for longer."""
    check(local, framing)


def test_the_good_request_is_exact(local: Local) -> None:
    """What the others are compared with."""
    assert binary_scores(dict(local.headers), local.body).shape == (2, 4)
