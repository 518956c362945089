"""Errors that are the server's own: reported to the client in short, and logged once, with the request's id."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from server_process import binary_request, model_file

from nin_spec.serving.errors import FailedError
from nin_spec.serving.http.app import App
from nin_spec.serving.limits import MemoryBudget
from nin_spec.serving.logs import JsonFormatter
from nin_spec.serving.models import Choice, Repository, Source, open_all
from nin_spec.serving.service import Service

X = np.ones((1, 3, 8, 8), np.float32)
BODY, EXTRA = binary_request(X)


class Log(logging.Handler):
    """Remembers what goes to standard error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.setFormatter(JsonFormatter())
        self.entries: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entries.append(json.loads(self.format(record)))


def answer(folder: Path, method: str, path: str, failing: tuple[str, Exception]) -> tuple[httpx.Response, list[Any]]:
    """What a client receives, and what is logged, where one of the service's calls fails."""
    name, error = failing

    def fail(*_: Any) -> Any:
        raise error

    async def ask() -> httpx.Response:
        choice = Choice("cpu", 1, 1)
        repository, budget = Repository(choice), MemoryBudget(1 << 20)
        for opened in open_all([Source(model_file(folder), "small")], choice):
            repository.add(opened)
        service = Service(repository)
        setattr(service, name, fail)
        app: Any = App(service, budget)
        headers = {**EXTRA, "X-Request-Id": "mine"}
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local") as client:
                return await client.request(method, path, content=BODY, headers=headers)
        finally:
            await repository.close()
            budget.close()

    log, logger = Log(), logging.getLogger("nin_spec.serving")
    logger.addHandler(log)
    try:
        found = asyncio.run(ask())
    finally:
        logger.removeHandler(log)
    return found, log.entries


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [("GET", "/v2", "metadata"), ("POST", "/v2/models/small/infer", "infer")],
)
def test_an_error_that_nobody_foresaw(tmp_path: Path, method: str, path: str, call: str) -> None:
    """The client isn't shown it; the log has the traceback."""
    found, logged = answer(tmp_path, method, path, (call, RuntimeError("secret")))
    assert (found.status_code, found.json()) == (500, {"error": "an internal error; see the server log"})
    assert [(entry["request"], "secret" in entry["traceback"]) for entry in logged] == [("mine", True)]


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [("GET", "/v2/models/small", "model_metadata"), ("POST", "/v2/models/small/infer", "infer")],
)
def test_a_model_that_fails(tmp_path: Path, method: str, path: str, call: str) -> None:
    """No fault of the client's: the log says so, too."""
    found, logged = answer(tmp_path, method, path, (call, FailedError("the model failed: why")))
    assert (found.status_code, found.json()) == (500, {"error": "the model failed: why"})
    assert [(entry["request"], entry["message"]) for entry in logged] == [("mine", "the model failed: why")]
