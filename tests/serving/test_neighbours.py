"""What one's batch-mates can do to one's answer: nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hosted_server import hosted
from server_process import ask, binary_request, binary_scores, model_file, picky_model, until

import nin_spec
from nin_spec.runtime.session import open_session
from nin_spec.serving.engine import open_engine, open_worker


@pytest.mark.parametrize("beside", [False, True], ids=["whole", "lane"])
@pytest.mark.parametrize("spec", ["small", "nin_digits", "nin_cifar"])
def test_a_neighbour_changes_no_byte(tmp_path: Path, spec: str, *, beside: bool) -> None:
    """In a batch of one size, a row's scores are the same bytes beside NaN, infinities, zeros or noise.

    Another batch size, or a run on one core, may round otherwise: onnxruntime promises no more, and neither does
    the server.
    """
    path = tmp_path / "model.onnx"
    if spec == "small":
        model_file(tmp_path, path.name)
    else:
        nin_spec.export(nin_spec.compile(spec).initialise(0), "onnx", path, parity=False)
    whole = open_engine(path, "cpu", 2)
    engine = open_worker(whole, path) if beside else whole
    assert engine is not None
    item = engine.inputs[0].shape[1:]
    rng = np.random.default_rng(1)
    mine = rng.normal(size=(2, *item)).astype(np.float32)
    for rows in (3, 4, 8):
        answers = set()
        for mate in (0.0, np.nan, np.inf, -np.inf, 3e38, "noise"):
            batch = np.empty((rows, *item), np.float32)
            batch[:] = rng.normal(size=batch.shape) if mate == "noise" else mate
            batch[[0, rows - 1]] = mine
            scores = engine.run([batch])[0]
            answers.add(scores[[0, rows - 1]].tobytes())
        assert len(answers) == 1


def asked_together(path: Path, requests: Sequence[Any]) -> tuple[list[tuple[int, dict[str, str], bytes]], list[int]]:
    """The answers to requests that wait together, in their order, and the rows of each run that they took."""

    def one(x: Any) -> tuple[int, dict[str, str], bytes]:
        return ask(server.port, "POST", "/v2/models/small/infer", *binary_request(x))

    with ThreadPoolExecutor(len(requests) + 1) as clients, hosted(path) as server:
        before = clients.submit(one, requests[0])
        until(lambda: len(server.runs) == 1)
        answers = []
        for waiting, x in enumerate(requests):
            answers.append(clients.submit(one, x))
            until(lambda: server.pending == waiting + 1)  # noqa: B023 it is asked at once
        server.gate.set()
        assert before.result()[0] == 200
        return [each.result() for each in answers], server.runs[1:]


def test_a_neighbour_that_fails_fails_alone(tmp_path: Path) -> None:
    """Through the server: the others' bytes are those of their own rows alone."""
    path = picky_model(tmp_path)
    good = [np.array([[0, 1, 2], [3, 4, 5]], np.float32), np.array([[6, 7, 0]], np.float32)]
    (first, failed, last), runs = asked_together(path, [good[0], np.full((1, 3), 99, np.float32), good[1]])
    assert runs == [4, 2, 1, 1]
    assert failed[0] == 500
    assert "the model failed" in json.loads(failed[2])["error"]
    for x, (status, headers, body) in zip(good, (first, last), strict=True):
        assert status == 200
        assert binary_scores(headers, body).tobytes() == open_session(path, "cpu", 1).run(x).tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_a_neighbour_of_no_numbers_changes_no_byte(tmp_path: Path, value: float) -> None:
    """Through the server: the others' bytes are those that they have in a run of the same size beside zeros."""
    path, rng = model_file(tmp_path), np.random.default_rng(3)
    first, last = (rng.normal(size=(rows, 3, 8, 8)).astype(np.float32) for rows in (1, 2))
    beside = np.full((1, 3, 8, 8), value, np.float32)
    answers, runs = asked_together(path, [first, beside, last])
    assert runs == [4]
    scores = [binary_scores(headers, body) for _, headers, body in answers]
    expected = open_session(path, "cpu", 1).run(np.concatenate([first, 0 * first, last]))
    assert scores[0].tobytes() == expected[:1].tobytes()
    assert scores[2].tobytes() == expected[2:].tobytes()
    assert not np.isfinite(scores[1]).all()
