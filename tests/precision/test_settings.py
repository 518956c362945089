"""What may be said about a precision, and that each thing said has one meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import ExportError
from nin_spec.exporter import Artifact
from nin_spec.precision.settings import PrecisionSettings, parse_drop, renamed


@pytest.mark.parametrize(
    ("text", "points"),
    [("0.5%", 0.5), ("0.5", 0.5), (" 1 % ", 1.0), (".25", 0.25), ("0", 0.0), ("100%", 100.0), ("0.005", 0.005)],
)
def test_a_drop_is_in_percentage_points(text: str, points: float) -> None:
    """With the sign or without it: a share is not guessed."""
    assert parse_drop(text) == points


@given(st.floats(0, 100), st.sampled_from(["", "%", " %"]))
def test_every_drop_is_read_as_written(points: float, sign: str) -> None:
    """Whatever the number and the sign."""
    text = f"{points:.6f}"
    assert parse_drop(text + sign) == float(text)


@pytest.mark.parametrize("text", ["none", "NONE", " none "])
def test_no_budget_is_named_in_words(text: str) -> None:
    """An empty budget is not an accident."""
    assert parse_drop(text) is None


@pytest.mark.parametrize("text", ["", "half", "-1", "101", "1e-3", "nan", "inf", "0,5", "5 points", "%", "1%%"])
def test_other_drops_are_refused(text: str) -> None:
    """With what can be said."""
    with pytest.raises(ExportError, match=r"0\.5% or 0\.5"):
        parse_drop(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "int4"}, "'int4' is not a precision"),
        ({"precision": "int8", "max_drop": -1}, "max_drop can't be -1"),
        ({"precision": "int8", "calibrate": 0}, "calibrate can't be 0"),
        ({"precision": "int8", "limit": 0}, "limit can't be 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, object], message: str) -> None:
    """Where they are made, from Python too."""
    with pytest.raises(ExportError, match=message):
        PrecisionSettings(**given)  # type: ignore[arg-type]


def test_a_smaller_file_stands_beside_the_float32_one() -> None:
    """Under a name of its own; anything but an ONNX file keeps its name."""
    artifact = Artifact(
        {"nin.onnx": b"1", "below/nin.onnx": b"2", "labels.txt": b"3"}, ("told",), models=("nin.onnx", "below/nin.onnx")
    )
    found = renamed(artifact, "int8")
    assert [*found.files] == ["nin.int8.onnx", "below/nin.int8.onnx", "labels.txt"]
    assert found.models == ("nin.int8.onnx", "below/nin.int8.onnx")
    assert found.remarks == ("told",)
    assert renamed(artifact, "float32") is artifact
