"""What a worker runs: settings that must be the same for every contender."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench_specs import small_model

import nin_spec
from nin_spec.bench.contenders import OURS, PEERS, Entry, Job
from nin_spec.bench.runners import TorchRunner, make_runner, set_tf32
from nin_spec.bench.subjects import bench_file, bench_model


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    """PyTorch's settings are put back."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.get_num_threads()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[:2]
    torch.set_num_threads(before[2])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job of PyTorch's on the small network."""
    subject = bench_model(small_model(tmp_path))
    subject.lay_out(tmp_path, ())
    return subject.job(Entry("torch", PEERS["torch"]), tmp_path, "cpu", 1)


@pytest.mark.parametrize(
    ("device", "options", "rounds"),
    [("cuda", {}, False), ("cuda", {"use_tf32": "true"}, True), ("tensorrt", {}, False), ("cpu", {}, False)],
)
def test_pytorch_rounds_products_where_our_session_does(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    options: dict[str, str],
    rounds: bool,  # noqa: FBT001 a parameter of a test
) -> None:
    """Only with use_tf32 on CUDA, in convolutions and in matrix products, which PyTorch has two settings for."""
    set_tf32(allowed=not rounds)
    monkeypatch.setattr("nin_spec.bench.runners.torch_device", lambda _: "cpu")
    TorchRunner(Job(**(job.as_dict() | {"device": device, "options": options})))
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (rounds, rounds)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        (["defaults.norm=batch"], {}),
        (["defaults.norm=batch"], {"outputs": "probabilities", "without": "fold_batch_norm"}),
        ([], {"outputs": "probabilities"}),
        (["input.open=true", "blocks.0.dropout=0.5"], {"opset": 20}),
    ],
)
def test_pytorch_computes_what_a_file_does(tmp_path: Path, changes: list[str], options: dict[str, Any]) -> None:
    """The file's weights are those of the graph that its passes made, and it may give probabilities."""
    small_model(tmp_path)
    model = nin_spec.compile(tmp_path / "small.yaml", changes).initialise(1)
    nin_spec.export(model, "onnx", tmp_path / "file.onnx", parity=False, **options)
    subject = bench_file(tmp_path / "file.onnx", "cpu")
    subject.lay_out(tmp_path, ())
    x, scores = subject.inputs(3), []
    for entry in (Entry("nin-spec", OURS), Entry("torch", PEERS["torch"])):
        runner = make_runner(subject.job(entry, tmp_path, "cpu", 1))
        with runner.around():
            scores.append(runner.scores(runner.ready(x)()))
    assert scores[0] is not None
    assert scores[1] is not None
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-6)
