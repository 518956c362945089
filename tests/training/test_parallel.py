"""Several processes compute what one does: batch norm, dropout, gradients, the learning curve."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from ranks import announced, finished, free_port, launched, together
from small_parts import EVERYTHING, small_network, small_spec
from torch import nn

from nin_spec.diagnostics import TrainingError
from nin_spec.training.begin import train
from nin_spec.training.folder import read_rows
from nin_spec.training.parallel import SharedBatchNorm
from nin_spec.training.settings import TrainSettings


def test_two_processes_give_the_learning_curve_of_one_with_the_summed_batch(tmp_path: Path) -> None:
    """torchrun, gloo on a CPU, with batch norm and dropout; two halves of 64 against one batch of 128.

    In float64, where what remains of the order of sums can't grow from step to step to what is seen.
    """
    spec = [str(small_spec(tmp_path, "batch", 0.3)), "--set", "dtype=float64"]
    (said,) = launched(
        tmp_path, [[*LAUNCHER, "-m", "nin_spec", "train", *spec, "-o", str(tmp_path / "two"), "--threads", "1"]]
    )
    assert "Warning" not in said
    two = read_rows(tmp_path / "two" / "metrics.csv")
    network = small_network("batch", 0.3, "dtype=float64")
    run = train(network, output=tmp_path / "one", settings=TrainSettings(threads=1))
    one = read_rows(run.path / "metrics.csv")
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-9)


def test_two_processes_draw_and_mix_what_one_does(tmp_path: Path) -> None:
    """Every augmentation, with partners among the other process's pictures, class weights and an average."""
    spec, port = tmp_path / "everything.yaml", free_port()
    overrides = ("dtype=float64", "train.epochs=1", "train.freeze=[blocks.0.convs.0, blocks.0.norms.0]")
    network = small_network("batch", 0.3, *EVERYTHING, *overrides)
    spec.write_text(network.spec.text)
    command = ("train", str(spec), "-o", str(tmp_path / "two"), "--threads", "1")
    with together(tmp_path, [command, command], announced(0, 2, port), announced(1, 2, port)) as processes:
        finished(processes)
    two = read_rows(tmp_path / "two" / "metrics.csv")
    one = read_rows(train(network, output=tmp_path / "one", settings=TrainSettings(threads=1)).path / "metrics.csv")
    assert len(one) == len(two) == 1
    assert one[0] == pytest.approx(two[0], rel=1e-9)


LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "nowhere"), "nowhere: it does not exist"),
        (("--limit", "5", "--set", "train.validation=0.1"), "is zero pictures"),
    ],
)
def test_an_error_that_all_have_is_reported_once(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    command = ("train", str(small_spec(tmp_path)), "-o", str(tmp_path / "run"), *arguments)
    port = free_port()
    with together(tmp_path, [command, command], announced(0, 2, port), announced(1, 2, port)) as processes:
        said = "".join(process.communicate(300)[1] for process in processes)
        assert all(process.returncode for process in processes)
    assert len([line for line in said.splitlines() if words in line]) == 1, said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("overrides", [(), EVERYTHING])
def test_micro_batches_give_the_curve_of_the_whole_batch(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """Gradient accumulation, with dropout; batch norm would see each micro-batch alone."""
    network = small_network("none", 0.3, *overrides)
    runs = [train(network, output=tmp_path / str(n), settings=TrainSettings(threads=1, accumulate=n)) for n in (1, 3)]
    rows = [read_rows(run.path / "metrics.csv") for run in runs]
    for a, b in zip(*rows, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_more_micro_batches_than_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="can't be divided among 1 processes with 200 micro-batches"):
        train(small_network(), output=tmp_path / "run", settings=TrainSettings(threads=1, accumulate=200))


@pytest.mark.parametrize("shape", [(6, 3, 4, 4), (6, 3)])
@pytest.mark.parametrize("affine", [True, False])
def test_a_shared_norm_of_one_process_is_batch_norm(
    shape: tuple[int, ...],
    affine: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Values, running statistics and gradients; the sum over one process is the value itself."""
    monkeypatch.setattr("nin_spec.training.parallel._everywhere", lambda values: values)
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    plain, base = (kind(3, momentum=0.3, affine=affine, dtype=torch.float64) for _ in range(2))
    shared = SharedBatchNorm(base)
    x, y = (torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    x.requires_grad_()
    y.requires_grad_()
    weights = torch.arange(x.numel(), dtype=torch.float64).reshape(shape).sin()
    a, b = plain(x), shared(y)
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    assert torch.allclose(a, b)
    assert x.grad is not None
    assert y.grad is not None
    assert torch.allclose(x.grad, y.grad)
    for name in ("running_mean", "running_var"):
        assert torch.allclose(getattr(plain, name), getattr(shared, name))
    assert torch.allclose(plain.eval()(x), shared.eval()(y))


def test_a_shared_norm_keeps_the_names_of_the_layer_it_replaces() -> None:
    assert list(SharedBatchNorm(nn.BatchNorm2d(3)).state_dict()) == list(nn.BatchNorm2d(3).state_dict())
