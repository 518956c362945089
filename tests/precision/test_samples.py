"""Which pictures calibrate, and which measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_digits import SPEC

import nin_spec
from nin_spec.data import Frame, open_split
from nin_spec.data.split import evidence_of
from nin_spec.diagnostics import DataError
from nin_spec.model import Model
from nin_spec.precision.samples import Pictures, open_pictures
from nin_spec.precision.settings import PrecisionSettings


def model_of(*overrides: str, text: str = SPEC) -> Model:
    """A model with fresh weights."""
    return nin_spec.compile(nin_spec.loads(text, overrides=overrides)).initialise(0)


def evidence(found: Pictures) -> tuple[set[bytes], set[bytes]]:
    """What distinguishes the pictures of each split."""
    splits = (found.calibration, found.evaluation)
    calibration, evaluation = ({evidence_of(p, np.array([k])) for k in range(len(p))} for p in splits)
    return calibration, evaluation


def test_calibration_never_sees_the_test_split() -> None:
    """Its pictures are of the training split, of each class alike."""
    found = open_pictures(model_of(), PrecisionSettings("int8", calibrate=200))
    assert (len(found.calibration), found.learned, len(found.evaluation), found.name) == (200, 1438, 359, "test")
    assert np.bincount(found.calibration.labels).min() >= 18
    train, test = (open_split("digits", split) for split in ("train", "test"))
    calibration, evaluation = evidence(found)
    assert calibration <= {evidence_of(train, np.array([k])) for k in range(len(train))}
    assert evaluation == {evidence_of(test, np.array([k])) for k in range(len(test))}


def test_a_validation_share_measures_where_the_recipe_has_one() -> None:
    """And calibrates nothing, so that the test split stays untouched."""
    found = open_pictures(model_of("train.validation=0.2"), PrecisionSettings("int8", calibrate=2000))
    assert (found.name, found.whole, found.learned) == ("validation", 288, 1150)
    calibration, evaluation = evidence(found)
    assert not calibration & evaluation


def test_two_exports_choose_the_same() -> None:
    """Of both splits."""
    settings = PrecisionSettings("int8", calibrate=50, limit=40)
    one, other = (evidence(open_pictures(model_of(), settings)) for _ in range(2))
    assert one == other
    assert [len(chosen) for chosen in one] == [50, 40]


def test_a_model_without_a_data_set_says_what_to_do() -> None:
    """For int8 there is no way round; a file that only rounds can be written unmeasured."""
    text = SPEC[: SPEC.index("train:")]
    with pytest.raises(DataError, match="pass --data DIR") as caught:
        open_pictures(model_of(text=text), PrecisionSettings("int8"))
    assert "none" not in str(caught.value)
    with pytest.raises(DataError, match="--max-drop none"):
        open_pictures(model_of(text=text), PrecisionSettings("float16"))


def test_data_at_hand_needs_no_recipe(tmp_path: Path) -> None:
    """An archive, named by its file."""
    train, test = (open_split("digits", split) for split in ("train", "test"))
    frame = Frame(1, 8, 8)
    arrays: dict[str, Any] = {
        f"{letter}_{name}": value
        for name, split in (("train", train), ("test", test))
        for letter, value in (("x", split.pictures(np.arange(60), frame)[..., 0]), ("y", split.labels[:60]))
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    text = SPEC[: SPEC.index("train:")]
    found = open_pictures(model_of(text=text), PrecisionSettings("int8", data=tmp_path / "mine.npz"))
    assert (found.calibration.dataset, len(found.calibration), len(found.evaluation)) == ("mine", 60, 60)
