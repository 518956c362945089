"""A recipe beside a plain loop in PyTorch, and how a training ends early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from small_parts import EVERYTHING, small_network
from torch import Tensor

from nin_spec.data import Frame, open_split
from nin_spec.diagnostics import SpecError
from nin_spec.torch_module import build_module
from nin_spec.training.begin import resume, train
from nin_spec.training.checkpoint import newest_checkpoint
from nin_spec.training.draws import Draws, Purpose
from nin_spec.training.folder import Run, read_rows
from nin_spec.training.settings import TrainSettings

ONE = TrainSettings(threads=1, checkpoint_minutes=0.001)
MIX = (
    "dtype=float64",
    "train.augment={pad_and_crop: 0, flip: false, mixup: 0.4, cutmix: 1.0}",
    "train.ema.decay=0.9",
    "train.batch_size=100",
)


def plain_loop(epochs: int, alphas: tuple[float, float], decay: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The recipe MIX as one would write it by hand: the weights, and their average.

    Of nin-spec it has the network, its initial weights, the pictures and the random numbers alone.
    """
    network = small_network("batch", 0.0, *MIX)
    module = build_module(network.initialise(3)).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    average = {name: tensor.clone() for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    split, step = open_split("digits", "train"), 0
    pictures = torch.from_numpy(split.pictures(np.arange(len(split)), Frame(1, 8, 8))).permute(0, 3, 1, 2).double()
    for epoch in range(epochs):
        draws = Draws(3, epoch, len(split))
        order, partners, stream = draws.order(), draws.partners(100), draws.stream(Purpose.MIX)
        cuts = stream.random(len(split)) < 0.5
        blended, cut = (stream.beta(alpha, alpha, len(split)) for alpha in alphas)
        centres = stream.random((len(split), 2))
        for first in range(0, len(split) - 99, 100):
            x, targets = torch.empty(100, 1, 8, 8, dtype=torch.float64), torch.zeros(100, 10, dtype=torch.float64)
            for row in range(100):
                at = first + row
                own, other = order[at], order[partners[at]]
                share = float(cut[at] if cuts[at] else blended[at])
                if cuts[at]:
                    mask = torch.ones(8, 8, dtype=torch.float64)
                    side = int(8 * np.sqrt(1 - share))
                    top, left = (int(8 * c) - side // 2 for c in centres[at])
                    mask[max(top, 0) : top + side, max(left, 0) : left + side] = 0
                    share = float(mask.mean())
                else:
                    mask = torch.full((8, 8), share, dtype=torch.float64)
                x[row] = (mask * pictures[own] + (1 - mask) * pictures[other]) / 255
                targets[row, split.labels[own]] += share
                targets[row, split.labels[other]] += 1 - share
            optimizer.zero_grad()
            F.cross_entropy(module(x), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            now = min(decay, (1 + step) / (10 + step))
            state = module.state_dict()
            average = {name: now * value + (1 - now) * state[name] for name, value in average.items()}
    return module.state_dict(), average


def test_mixing_and_averaging_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    """In float64: what is kept is the average, and the checkpoint has the weights, too."""
    run = train(small_network("batch", 0.0, *MIX), output=tmp_path / "run", settings=ONE)
    weights, average = plain_loop(2, (0.4, 1.0), 0.9)
    kept, (checkpoint, _) = run.model().weights, newest_checkpoint(run.path / "checkpoints")
    for name, array in kept.items():
        assert array == pytest.approx(average[name].numpy(), rel=1e-6, abs=1e-9), name
        assert checkpoint.of("weights")[name] == pytest.approx(weights[name].numpy(), rel=1e-6, abs=1e-9), name
    assert not np.allclose(kept["blocks.1.convs.1.weight"], weights["blocks.1.convs.1.weight"].numpy(), rtol=1e-3)


def test_the_rows_score_the_average(tmp_path: Path) -> None:
    """What evaluation would find for the files."""
    run = train(small_network("batch", 0.0, *MIX), output=tmp_path / "run", settings=ONE)
    split, module = open_split("digits", "test"), build_module(run.model())
    pictures = torch.from_numpy(split.pictures(np.arange(len(split)), Frame(1, 8, 8))).permute(0, 3, 1, 2).double()
    with torch.no_grad():
        guesses = module(pictures / 255).argmax(1).numpy()
    assert (guesses == split.labels).mean() == pytest.approx(run.record.final["test_accuracy"])


def same(first: Run, second: Run) -> bool:
    """Equal bytes in all that two trainings came to."""
    names = ("last.safetensors", "best.safetensors", "metrics.csv")
    return all((first.path / name).read_bytes() == (second.path / name).read_bytes() for name in names)


@pytest.mark.parametrize("overrides", [EVERYTHING, (*EVERYTHING[:2], "train.balance=sampling")])
def test_stopped_and_resumed_it_comes_to_the_same_bytes(overrides: tuple[str, ...], tmp_path: Path) -> None:
    network = small_network("batch", 0.2, *overrides)
    whole = train(network, output=tmp_path / "whole", settings=ONE)
    left = iter(range(8))
    stopped = train(network, output=tmp_path / "run", settings=ONE, stop=lambda: next(left, None) is None)
    assert stopped.record.status == "interrupted"
    assert same(resume(stopped.path), whole)


def test_without_a_better_epoch_it_ends(tmp_path: Path) -> None:
    """With a rate of 0 no epoch is better than the first; what is kept is the first, and resuming adds nothing."""
    recipe = ("train.optimizer.lr=0", "train.validation=0.2", "train.epochs=9", "train.patience=2")
    run = train(small_network("none", 0.0, *recipe), output=tmp_path / "run", settings=ONE)
    assert len(read_rows(run.path / "metrics.csv")) == 3
    assert (run.record.status, run.record.ended) == ("finished", "no better validation accuracy in 2 epochs")
    assert run.record.best["epoch"] == 1
    before = (run.path / "metrics.csv").read_bytes()
    assert resume(run.path).record == run.record
    assert (run.path / "metrics.csv").read_bytes() == before


def test_patience_that_never_runs_out_changes_nothing(tmp_path: Path) -> None:
    recipe = ("train.validation=0.2", "train.epochs=3")
    runs = [
        train(small_network("none", 0.0, *recipe, *more), output=tmp_path / str(k), settings=ONE)
        for k, more in enumerate([(), ("train.patience=3",)])
    ]
    assert same(*runs)
    assert runs[1].record.ended is None


def test_when_its_time_is_over_no_further_epoch_begins(tmp_path: Path) -> None:
    """The test split decides nothing; a run that is resumed has used its time already."""
    run = train(small_network("none", 0.0, "train.time_limit=0.0001"), output=tmp_path / "run", settings=ONE)
    assert len(read_rows(run.path / "metrics.csv")) == 1
    assert run.record.ended == "the time limit of 0.0001 minutes was reached"
    assert run.record.result == "last.safetensors"
    assert resume(run.path).record == run.record
    checkpoint, _ = newest_checkpoint(run.path / "checkpoints")
    assert checkpoint.state.seconds > 0.006


REFUSED = [
    ("patience=2", r"patience needs validation: the test split must not decide"),
    ("augment={resized_crop: 0.5, pad_and_crop: 1}", "both resized_crop and pad_and_crop, two ways to crop"),
    ("augment={resized_crop: 0.5, crop: true}", "both resized_crop and crop, two ways to crop"),
    ("ema.decay=1", "should be less than 1|must be less than 1|less than 1"),
    ("balance=losses", "losses"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED)
def test_what_contradicts_itself_is_refused_at_its_position(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        small_network("none", 0.0, "train.augment=null", f"train.{override}")
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert span.source.name == "--set"
