"""The temperature in a run folder: which weights it belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_spec.diagnostics import TrainingError
from nin_spec.weights.temperature import (
    FittedTemperature,
    Quality,
    read_temperature,
    temperature_beside,
    write_temperature,
)

QUALITY = Quality(ece=0.1, loss=0.2, mean_confidence=0.8)
FITTED = FittedTemperature(
    temperature=0.25,
    weights_sha256="ab",
    images=1,
    fingerprint="f",
    accuracy=0.9,
    before=QUALITY,
    after=QUALITY,
    versions={},
)


def test_it_is_written_and_read(tmp_path: Path) -> None:
    """The same values; None without a file."""
    assert read_temperature(tmp_path) is None
    write_temperature(tmp_path, FITTED)
    assert read_temperature(tmp_path) == FITTED
    assert FITTED.remark == "temperature: 0.25, fitted on 1 validation picture"


def test_it_is_looked_for_in_run_folders_only(tmp_path: Path) -> None:
    """A file of that name beside other weights is someone else's."""
    (tmp_path / "temperature.json").write_text('{"celsius": 21}')
    assert temperature_beside(tmp_path / "w.safetensors") is None
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"temperature\.json is damaged"):
        temperature_beside(tmp_path / "w.safetensors")


def test_it_belongs_to_its_weights() -> None:
    """To one file, in one function."""
    assert FITTED.unfit_for("ab") == ""
    assert FITTED.unfit_for("cd") == "was fitted for other weights, and is not used"
    assert "another function" in FITTED.unfit_for("ab", same_function=False)
