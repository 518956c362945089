"""Checkpoints: whole or refused, the newest two kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import TrainingError
from nin_spec.training.checkpoint import Checkpoint, State, newest_checkpoint, read_checkpoint, write_checkpoint

TENSORS = {
    "weights/a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "optimizer/a.weight/step": np.array(3, np.float32),
}


def state(step: int) -> State:
    """A state as it is in the middle of an epoch."""
    return State(step, 1.25, 7, 20, [{"epoch": 1, "train_loss": 0.1 + step}], (1, 0.5), ["told"])


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c", Checkpoint(state(12), TENSORS))
    found = read_checkpoint(path)
    assert found.state == state(12)
    assert {k: v.tolist() for k, v in found.tensors.items()} == {k: v.tolist() for k, v in TENSORS.items()}
    assert list(found.of("optimizer")) == ["a.weight/step"]


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 900, 1000):
        write_checkpoint(tmp_path, Checkpoint(state(step), TENSORS))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000900.safetensors", "step-000001000.safetensors"]
    assert newest_checkpoint(tmp_path)[0].state.step == 1000


def test_a_damaged_newest_falls_back_and_says_so(tmp_path: Path) -> None:
    for step in (5, 6):
        newest = write_checkpoint(tmp_path, Checkpoint(state(step), TENSORS))
    newest.write_bytes(newest.read_bytes()[:-3])
    found, remarks = newest_checkpoint(tmp_path)
    assert found.state.step == 5
    assert len(remarks) == 1
    assert "step-000000006.safetensors" in remarks[0]
    assert "using the one before it" in remarks[0]


@given(place=st.floats(0, 0.999), change=st.integers(1, 255))
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, place: float, change: int) -> None:
    path = write_checkpoint(tmp_path_factory.mktemp("c"), Checkpoint(state(5), TENSORS))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= change
    path.write_bytes(data)
    try:
        found = read_checkpoint(path)
    except TrainingError:
        return
    # A space for another in the header's padding changes nothing.
    assert found.state == state(5)
    assert found.tensors["weights/a.weight"].tobytes() == TENSORS["weights/a.weight"].tobytes()


def test_all_damaged_is_an_error_that_names_them(tmp_path: Path) -> None:
    for step in (5, 6):
        write_checkpoint(tmp_path, Checkpoint(state(step), TENSORS)).write_bytes(b"nothing")
    with pytest.raises(TrainingError) as caught:
        newest_checkpoint(tmp_path)
    message = caught.value.diagnostics[0].message
    assert "step-000000005" in message
    assert "step-000000006" in message


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(TrainingError, match="has no checkpoint"):
            newest_checkpoint(folder)
