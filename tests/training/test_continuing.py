"""A run resumes as what it was, alone, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from small_parts import small_network

from nin_spec.data import open_split
from nin_spec.diagnostics import DivergedError, TrainingError
from nin_spec.training.begin import resume, train
from nin_spec.training.checkpoint import Checkpoint, State, newest_checkpoint, write_checkpoint
from nin_spec.training.checkpointer import Checkpointer
from nin_spec.training.folder import Run, open_run
from nin_spec.training.settings import TrainSettings

ONE = TrainSettings(threads=1, checkpoint_minutes=0.001)


def stopped(folder: Path, steps: int = 9, **given: Any) -> Run:
    """A run that was asked to stop after some steps."""
    left = iter(range(steps - 1))
    return train(small_network(), output=folder, settings=ONE, stop=lambda: next(left, None) is None, **given)


def altered(run: Run, **changes: Any) -> None:
    """Write other things into run.json."""
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_learned_is_never_started_again(tmp_path: Path) -> None:
    """Its checkpoints are gone: going on is refused, and the weights stay."""
    run = stopped(tmp_path / "run")
    before = (run.path / "last.safetensors").read_bytes()
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(TrainingError, match="it has no checkpoint"):
        resume(run.path)
    assert (run.path / "last.safetensors").read_bytes() == before


def test_checkpoints_that_can_t_be_listed_are_no_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped(tmp_path / "run")

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", denied)
    with pytest.raises(TrainingError, match=r"checkpoints can't be resumed: it can't be read: Permission denied"):
        resume(run.path)


def test_two_trainings_never_write_into_one_folder(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    other = FileLock(run.path / ".lock")
    with other, pytest.raises(TrainingError, match="another process is training in it"):
        resume(run.path)
    assert resume(run.path).record.status == "finished"


def test_a_recipe_edited_in_the_run_folder_is_refused(tmp_path: Path) -> None:
    """The network is the same, so its hash does not show it."""
    run = stopped(tmp_path / "run")
    spec = run.path / "spec.yaml"
    spec.write_text(spec.read_text().replace("epochs: 2", "epochs: 3"))
    with pytest.raises(TrainingError, match=r"spec\.yaml was changed after the training started"):
        resume(run.path)


def test_other_pictures_to_score_on_are_refused(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    altered(run, data=json.loads((run.path / "run.json").read_text())["data"] | {"scored_fingerprint": "0"})
    with pytest.raises(TrainingError, match="the pictures that it is scored on"):
        resume(run.path)


@pytest.mark.parametrize(
    "changes",
    [{"settings": {"threads": "many"}}, {"settings": {"speed": 11}}, {"result": "../../other.safetensors"}],
)
def test_a_record_that_no_training_wrote_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = stopped(tmp_path / "run")
    altered(run, **changes)
    with pytest.raises(TrainingError, match=r"run\.json is damaged"):
        open_run(run.path)


@pytest.mark.parametrize("kind", ["weights", "optimizer"])
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, kind: str) -> None:
    run = stopped(tmp_path / "run")
    folder = run.path / "checkpoints"
    found, _ = newest_checkpoint(folder)
    tensors = {k: np.zeros((3, 1), np.float32) if k.startswith(kind) else v for k, v in found.tensors.items()}
    state = found.state
    state.step += 1
    write_checkpoint(folder, Checkpoint(state, tensors))
    with pytest.raises(TrainingError, match="checkpoint"):
        resume(run.path)


def test_damaged_timings_are_named(tmp_path: Path) -> None:
    run = train(small_network(), output=tmp_path / "run", settings=ONE)
    (run.path / "timings.csv").write_text("epoch,seconds\n1,fast\n")
    with pytest.raises(TrainingError, match=r"timings\.csv is damaged"):
        resume(run.path)


def test_where_the_data_has_moved_to_is_remembered(tmp_path: Path) -> None:
    digits = {split: open_split("digits", split) for split in ("train", "test")}
    arrays = {f"{axis}_{split}": values for split, of in digits.items() for axis, values in pictures_of(of).items()}
    np.savez(tmp_path / "here.npz", **arrays)
    run = stopped(tmp_path / "run", data=tmp_path / "here.npz")
    (tmp_path / "here.npz").rename(tmp_path / "there.npz")
    again = resume(run.path, data=tmp_path / "there.npz")
    assert again.location == tmp_path / "there.npz"


def pictures_of(split: Any) -> dict[str, Any]:
    """The pixels and labels of digits, as Keras names them."""
    from nin_spec.data.saving import raw_pictures

    return {"x": raw_pictures(split, np.arange(len(split))), "y": split.labels}


def test_the_best_epoch_outlives_weights_that_are_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs under two seconds share a checkpoint; the best of them is kept when a later one diverges."""
    whole, choose = Checkpointer.weights, Checkpointer._choose
    begun: list[Checkpointer] = []

    def first_alone(self: Checkpointer, state: State) -> None:
        if len(state.rows) == 1:
            choose(self, state)

    def broken_at_the_end(self: Checkpointer) -> dict[str, Any]:
        # Asked for at the beginning, at the end of the first epoch, and then for the last checkpoint.
        begun.append(self)
        return {name: array * (np.nan if len(begun) > 2 else 1) for name, array in whole(self).items()}

    monkeypatch.setattr(Checkpointer, "_choose", first_alone)
    monkeypatch.setattr(Checkpointer, "weights", broken_at_the_end)
    with pytest.raises(DivergedError):
        train(
            small_network("none", 0.0, "train.validation=0.2"),
            output=tmp_path / "run",
            settings=TrainSettings(threads=1),
        )
    run = open_run(tmp_path / "run")
    assert run.record.status == "diverged"
    assert run.record.best["epoch"] == 1
    assert all(np.isfinite(array).all() for array in run.model().weights.values())
    assert len((run.path / "metrics.csv").read_text().splitlines()) == 3
