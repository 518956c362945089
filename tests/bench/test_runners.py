"""What a worker runs: settings that must be the same for every contender."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bench_specs import small_model

from nin_spec.bench.contenders import PEERS, Entry, Job
from nin_spec.bench.runners import TorchRunner, set_tf32
from nin_spec.bench.subjects import bench_model


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job of PyTorch's on the small network; its settings are put back."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.get_num_threads()
    subject = bench_model(small_model(tmp_path))
    subject.lay_out(tmp_path, ())
    yield subject.job(Entry("torch", PEERS["torch"]), tmp_path, "cpu", 1)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[:2]
    torch.set_num_threads(before[2])


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
