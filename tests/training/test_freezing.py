"""Frozen layers: no step changes their weights or statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_parts import small_network
from torch import nn

from nin_spec.diagnostics import TrainingError
from nin_spec.training.begin import resume, train
from nin_spec.training.folder import Run
from nin_spec.training.freezing import EvaluatedNorm, freeze, frozen_names
from nin_spec.training.reporter import Silent
from nin_spec.training.settings import TrainSettings

ONE = TrainSettings(threads=1, checkpoint_minutes=0.001)


def trained(folder: Path, freezing: str, **given: Any) -> Run:
    """A run that freezes so."""
    network = small_network("batch", 0.2, f"train.freeze={freezing}", "train.optimizer.weight_decay=0.01")
    return train(network, output=folder, settings=ONE, **given)


CASES = [
    ("[blocks.0]", "blocks.0."),
    ("[blocks.0.convs.1, blocks.0.norms.1]", "blocks.0.convs.1. blocks.0.norms.1."),
    ('["*.norms.*"]', "blocks.0.norms. blocks.1.norms."),
]


@pytest.mark.parametrize(("freezing", "prefixes"), CASES)
def test_what_is_frozen_keeps_its_bytes_and_the_rest_learns(freezing: str, prefixes: str, tmp_path: Path) -> None:
    """Weights, biases and the statistics of batch norms, through momentum and weight decay."""
    run = trained(tmp_path / "run", freezing)
    before, after = run.network.initialise(3).weights, run.model().weights
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(tuple(prefixes.split()))}


def test_stopped_and_resumed_it_comes_to_the_same_bytes(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", "[blocks.0]")
    left = iter(range(8))
    stopped = trained(tmp_path / "run", "[blocks.0]", stop=lambda: next(left, None) is None)
    assert stopped.record.status == "interrupted"
    resume(stopped.path)
    for name in ("last.safetensors", "best.safetensors", "metrics.csv"):
        assert (stopped.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_freezing_all_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"--set:1:\d+: .*leaves no parameter to train"):
        trained(tmp_path / "run", "[blocks]")
    assert not (tmp_path / "run").exists()


def test_fresh_weights_that_are_frozen_are_reported(tmp_path: Path) -> None:
    """Random features are rarely meant. Those that were carried are silent."""

    class Listener(Silent):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def logged(self, message: str) -> None:
            self.heard.append(message)

    first, second = Listener(), Listener()
    run = trained(tmp_path / "fresh", "[blocks.0.norms]", reporter=first)
    assert first.heard[0].startswith("frozen, but fresh: blocks.0.norms.0.bias, blocks.0.norms.0.running_mean, ")
    trained(tmp_path / "carried", "[blocks.0.norms]", reporter=second, weights=run.path)
    assert second.heard == []


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_a_frozen_norm_is_batch_norm_in_evaluation(kind: type[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
    """In training mode too, and it keeps the names of its tensors."""
    norm = kind(3)
    x = torch.randn((5, 3, 2, 2)[: 4 if kind is nn.BatchNorm2d else 2], generator=torch.Generator().manual_seed(0))
    norm(x)
    held = EvaluatedNorm(norm).train()
    assert torch.equal(held(x), norm.eval()(x))
    assert list(held.state_dict()) == list(norm.state_dict())


def test_one_statistic_that_is_named_freezes_both() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    freeze(module, {"1.running_mean"})
    assert isinstance(module[1], EvaluatedNorm)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_block_s_name_stands_for_all_in_it() -> None:
    network = small_network("batch", 0.0, "blocks.0.name=stem", "train.freeze=[stem]")
    assert frozen_names(network) == {name for name in network.graph.parameters() if name.startswith("blocks.0.")}
