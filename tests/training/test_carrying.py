"""A training that starts from weights: the same network's, or those of another head."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_folder import digit_folder
from small_parts import small_network

from nin_spec.diagnostics import TrainingError, WeightsError
from nin_spec.network import Network
from nin_spec.training.begin import resume, train
from nin_spec.training.carrying import lines_of
from nin_spec.training.folder import Run, open_run
from nin_spec.training.reporter import Silent
from nin_spec.training.settings import TrainSettings

ONE = TrainSettings(threads=1)
MINE = "train={dataset: mine, batch_size: 16, epochs: 2, seed: 3, optimizer: {kind: sgd, lr: 0.05, momentum: 0.9}}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of ten digits, named by the data set."""
    return train(small_network("batch"), output=tmp_path_factory.mktemp("runs") / "digits", settings=ONE)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the digits by their names, and a new class."""
    return digit_folder(tmp_path_factory.mktemp("data") / "mine", **{"3": 3, "8": 8, "new": 5})


def target(*overrides: str) -> Network:
    """The same network for three classes."""
    return small_network("batch", 0.0, "classes=3", MINE, *overrides)


def test_a_new_head_is_recorded_and_shown(source: Run, mine: Path, tmp_path: Path) -> None:
    shown: list[Any] = []

    class Listener(Silent):
        def started(self, facts: Any, step: int, steps: int, batch: int) -> None:
            shown.append(facts["start"])

    network = target("train.optimizer.lr=0")
    run = train(
        network,
        data=mine,
        output=tmp_path / "run",
        settings=ONE,
        weights=source.path,
        new_head=True,
        reporter=Listener(),
    )
    start = open_run(run.path).record.start
    assert start == shown[0]
    assert start is not None
    assert (start.new_head, start.classes, start.dropped) == (True, ["3", "8"], [])
    assert start.sha256 == source.digest
    lines = lines_of(start)
    assert lines[0] == f"weights of {source.path / 'last.safetensors'}, under a new head:"
    assert lines[1].split() == ["layer", "carried", "fresh"]
    assert lines[2].split() == ["blocks.0.convs.0", "weight,", "bias", "-"]
    assert lines[-2].split() == ["blocks.1.convs.1", "2", "rows", "of", "weight,", "bias", "the", "other", "rows"]
    assert lines[-1] == "  classes carried by name: 3, 8"
    ours, theirs = run.model().weights, source.model().weights
    assert np.array_equal(ours["blocks.0.convs.0.weight"], theirs["blocks.0.convs.0.weight"])
    assert np.array_equal(ours["blocks.1.convs.1.weight"][:2], theirs["blocks.1.convs.1.weight"][[3, 8]])


def test_a_mismatch_is_an_error_unless_a_new_head_is_asked_for(source: Run, mine: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has the shape 10x12x1x1, in the spec 3x12x1x1"):
        train(target(), data=mine, output=tmp_path / "run", settings=ONE, weights=source.path)
    assert not (tmp_path / "run").exists()


def test_as_many_classes_of_other_names_are_a_mismatch_too(mine: Path, tmp_path: Path) -> None:
    """By position, each class would start from the weights of another."""
    run = train(target(), data=mine, output=tmp_path / "three", settings=ONE)
    assert run.network.card.labels == ("3", "8", "new")
    other = digit_folder(tmp_path / "other", **{"8": 8, "9": 9, "new": 5})
    with pytest.raises(WeightsError, match="class 0 is '3', in the spec '8'") as caught:
        train(target(), data=other, output=tmp_path / "run", settings=ONE, weights=run.path)
    assert "--new-head" in str(caught.value.diagnostics[0].hint)
    moved = train(target(), data=other, output=tmp_path / "run", settings=ONE, weights=run.path, new_head=True)
    assert moved.record.start is not None
    assert moved.record.start.classes == ["8", "new"]


def test_resumed_without_its_source_it_comes_to_the_same_bytes(source: Run, mine: Path, tmp_path: Path) -> None:
    """Killed before its first step: the start is in the run folder."""
    copy = tmp_path / "copy"
    shutil.copytree(source.path, copy)
    given: dict[str, Any] = {"data": mine, "settings": ONE, "weights": copy, "new_head": True}
    whole = train(target(), output=tmp_path / "whole", **given)
    killed = tmp_path / "killed"

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nin_spec.training.session.TrainingSession.run", die)
        with pytest.raises(KeyboardInterrupt):
            train(target(), output=killed, **given)
    assert not (killed / "last.safetensors").exists()
    shutil.rmtree(copy)
    assert resume(killed).record.status == "finished"
    for name in ("last.safetensors", "metrics.csv"):
        assert (killed / name).read_bytes() == (whole.path / name).read_bytes()


def test_without_its_first_checkpoint_it_does_not_start_from_others(source: Run, tmp_path: Path) -> None:
    """Fresh weights in place of those it was given would be another run."""
    run = train(small_network("batch"), output=tmp_path / "run", settings=ONE, weights=source.path, stop=lambda: True)
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "last.safetensors").unlink()
    changed = json.loads((run.path / "run.json").read_text()) | {"final": {}}
    (run.path / "run.json").write_text(json.dumps(changed))
    with pytest.raises(TrainingError, match="it has no checkpoint"):
        resume(run.path)
