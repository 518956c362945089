"""Models put in the place of others, in the server's own thread."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from server_process import model_file
from small_models import content

from nin_spec.runtime.session import open_session
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
