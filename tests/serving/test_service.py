"""What REST and gRPC share: what is asked of a model, and what is counted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nin_spec.serving.errors import BadRequestError
from nin_spec.serving.metrics import Statistics
from nin_spec.serving.protocol import InferRequest, RequestedOutput, Tensor, TensorSpec
from nin_spec.serving.service import Service, wanted_outputs

INPUT = TensorSpec("input", "FP32", (-1, 2))
OUTPUTS = (
    TensorSpec("scores", "FP32", (-1, 3)),
    TensorSpec("top_probabilities", "FP32", (-1, 3)),
    TensorSpec("top_classes", "INT64", (-1, 3)),
)


def served(**more: Any) -> Any:
    """A model of three classes that was exported with `--outputs scores,top3`."""
    engine = SimpleNamespace(inputs=(INPUT,), outputs=OUTPUTS)
    return SimpleNamespace(name="m", version="1", engine=engine, opened=SimpleNamespace(most=8), **more)


def test_classes_are_named_of_scores_alone() -> None:
    """The best probabilities stand in their own order: their places are no classes, however many there are."""
    assert wanted_outputs(served(), InferRequest((), (RequestedOutput("scores", 2),)))[0][0] == 0
    for name in ("top_probabilities", "top_classes"):
        with pytest.raises(BadRequestError, match="has no scores"):
            wanted_outputs(served(), InferRequest((), (RequestedOutput(name, 2),)))
        assert wanted_outputs(served(), InferRequest((), (RequestedOutput(name),)))


def test_a_call_that_is_cancelled_is_counted() -> None:
    """GRPC cancels the task of a client that left, or whose deadline passed."""

    async def both() -> None:
        statistics, begun = Statistics(), asyncio.Event()

        def submit(*_: Any) -> asyncio.Future[Any]:
            begun.set()
            return asyncio.get_running_loop().create_future()

        swept: list[bool] = []
        batcher = SimpleNamespace(submit=submit, sweep=lambda: swept.append(True))
        model = served(statistics=statistics, batcher=batcher)
        repository: Any = SimpleNamespace(now=lambda found: found)
        request = InferRequest((Tensor("input", np.ones((1, 2), np.float32)),))
        task = asyncio.create_task(Service(repository).infer(model, request))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (statistics.success, statistics.failure) == (0, {"CANCELED": 1})
        assert swept  # what it held in the queue is let go

    asyncio.run(both())


@pytest.mark.parametrize(
    ("own", "asked", "waits"),
    [(30.0, None, 30.0), (30.0, 2.0, 2.0), (1.0, 60.0, 1.0), (None, 60.0, 60.0), (None, None, None)],
)
def test_a_client_may_wait_for_less_and_not_for_more(
    own: float | None, asked: float | None, waits: float | None
) -> None:
    """Triton's allow_timeout_override says the same."""

    async def both() -> None:
        given: list[float | None] = []

        async def submit(arrays: Any, seconds: float | None, _: Any) -> Any:
            given.append(seconds)
            return [arrays[0]]

        model = served(statistics=Statistics(), batcher=SimpleNamespace(submit=submit))
        repository: Any = SimpleNamespace(now=lambda found: found)
        tensor = Tensor("input", np.ones((1, 2), np.float32))
        request = InferRequest((tensor,), (RequestedOutput("scores"),), "", asked)
        await Service(repository, own).infer(model, request)
        assert given == [waits]

    asyncio.run(both())
