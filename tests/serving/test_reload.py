"""Models put in the place of others, in the server's own thread."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from server_process import ask as ask_once
from server_process import binary_request, model_file, running
from small_models import content

from nin_spec.runtime.session import open_session
from nin_spec.serving import models
from nin_spec.serving.models import Choice, Repository, Source, open_model
from nin_spec.serving.protocol import InferRequest, InferResponse, Tensor
from nin_spec.serving.service import Service

X = np.random.default_rng(5).normal(size=(1, 3, 8, 8)).astype(np.float32)
CHOICE = Choice("cpu", 1, rows=1)


def test_a_request_that_began_before_a_reload_is_answered_by_the_new_model(tmp_path: Path) -> None:
    """Its model was found, its body was still coming: the old model is closed by the time that it runs."""
    path = model_file(tmp_path)

    async def ask() -> InferResponse:
        repository = Repository(CHOICE)
        repository.add(open_model(Source(path, "small"), CHOICE))
        found = repository.find("small")
        await asyncio.to_thread(path.write_bytes, content(tail="Softmax"))
        await repository.reload(changed_only=False)
        answer = await Service(repository).infer(found, InferRequest((Tensor("input", X),)))
        await repository.close()
        return answer

    (scores,) = asyncio.run(ask()).outputs
    expected = open_session(content(tail="Softmax"), "cpu", 1).run(X)
    assert scores.array.tobytes() == expected.tobytes()


def test_reloads_come_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that are asked for while one is under way, one follows, which finds what all of them would."""
    path, opened, under_way = model_file(tmp_path), 0, 0

    def slowly(source: Source, choice: Choice) -> models.Opened:
        nonlocal opened, under_way
        opened, under_way = opened + 1, under_way + 1
        assert under_way == 1
        found = open_model(source, choice)
        under_way -= 1
        return found

    async def ask() -> None:
        repository = Repository(CHOICE)
        repository.add(open_model(Source(path, "small"), CHOICE))
        monkeypatch.setattr(models, "open_model", slowly)
        first = asyncio.create_task(repository.reload(changed_only=False))
        await asyncio.sleep(0)
        await asyncio.gather(first, *(repository.reload(changed_only=False) for _ in range(5)))
        await repository.reload(changed_only=False)
        await repository.close()

    asyncio.run(ask())
    assert opened == 3


def test_another_networks_file_is_not_taken(tmp_path: Path) -> None:
    """It takes other tensors: every client would be refused. The old one stays, and the log says why."""
    path = model_file(tmp_path)
    body, headers = binary_request(X)
    with running(f"small={path}", "--reload") as server:
        before = ask_once(server.port, "POST", "/v2/models/small/infer", body, headers)
        other = tmp_path / "other.onnx"
        other.write_bytes(content(("N", 1, 8, 8)))
        other.replace(path)
        server.wait_for("the file has different inputs or outputs")
        after = ask_once(server.port, "POST", "/v2/models/small/infer", body, headers)
    assert before[0] == after[0] == 200
    assert before[2] == after[2]
