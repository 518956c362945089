"""Whole trainings, calibrated: the error of calibration on the test split, and what must not change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nin_spec.cli import execute
from nin_spec.evaluation import calibrate, evaluate
from nin_spec.training.folder import open_run

pytestmark = pytest.mark.long
FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts it."""


@pytest.mark.parametrize(
    ("name", "seed", "data"), [("nin_digits", 0, None), ("nin_digits", 1, None), ("nin_fashion_mnist", 0, FASHION)]
)
def test_the_calibration_error_is_small(name: str, seed: int, data: Path | None, tmp_path: Path) -> None:
    """Below 0.02 on the test split, which was not fitted on; the accuracy is the same to the picture."""
    if data is not None and not data.is_dir():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    folder = tmp_path / "run"
    where = [] if data is None else ["--data", str(data)]
    recipe = ["--set", "train.validation=0.1", "--set", f"train.seed={seed}"]
    assert execute(["train", name, "-o", str(folder), *recipe, *where]) == 0
    run = open_run(folder)
    before = evaluate(run).onnxruntime
    found = calibrate(run)
    after = evaluate(open_run(folder)).onnxruntime
    sys.stdout.write(f"{name}, seed {seed}: ECE {before.ece:.4f} -> {after.ece:.4f} at {found.fitted.temperature:g}\n")
    assert after.ece is not None
    assert after.ece < 0.02
    assert after.confusion.tolist() == before.confusion.tolist()
    assert found.same == found.before.images
