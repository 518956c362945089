"""SVHN's MATLAB files, made by SciPy."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import all_of, pixels, refusal, replace_file
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.data import Frame
from nin_spec.data.svhn import is_complete, open_svhn
from nin_spec.diagnostics import Code, DataError

scipy_io = importlib.import_module("scipy.io")
TEN = tuple("0123456789")
FRAME = Frame(3, 32, 32)


def make(folder: Path, split: str = "train", labels: Any = (10, 1, 9), *, compress: bool = True, **other: Any) -> Path:
    """A file of noise; the path."""
    y = np.array(labels, np.uint8)[:, None]
    variables = {"X": np.moveaxis(pixels(len(y), 32, 32, 3), 0, 3), "y": y, **other}
    path = folder / f"{split}_32x32.mat"
    scipy_io.savemat(path, variables, do_compression=compress)
    return path


@pytest.mark.parametrize("compress", [True, False])
def test_pictures_and_labels(tmp_path: Path, *, compress: bool) -> None:
    """Channels last, and class 10 is the digit 0."""
    make(tmp_path, compress=compress)
    split = open_svhn("svhn", "train", tmp_path, TEN)
    assert split.labels.tolist() == [0, 1, 9]
    assert np.array_equal(all_of(split, FRAME), pixels(3, 32, 32, 3))
    assert np.array_equal(split.pictures(np.array([2, 2, 0]), FRAME), pixels(3, 32, 32, 3)[[2, 2, 0]])
    assert not is_complete(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The requested split decides."""
    make(tmp_path)
    message = refusal(lambda: open_svhn("svhn", "test", tmp_path, TEN), Code.DATA_MISSING)
    assert f"{tmp_path} does not contain test_32x32.mat" in message


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"X": np.zeros((32, 32, 3, 3))}, "X is float64 (32, 32, 3, 3)"),
        ({"X": np.zeros((3, 32, 32, 3), np.uint8)}, "X is uint8 (3, 32, 32, 3), but uint8 (32, 32, 3, n) in SVHN"),
        ({"y": np.ones((4, 1), np.uint8)}, "y is uint8 (4, 1); 3 pictures need integer labels (3, 1)"),
        ({"y": np.array([[1], [2], [11]], np.uint8)}, "y[2] has the label 11"),
        ({"y": "text"}, "it has no numeric array named y"),
    ],
)
def test_other_variables_are_refused(tmp_path: Path, variables: dict[str, Any], words: str) -> None:
    """With their type and shape, and those of SVHN."""
    make(tmp_path, **variables)
    assert words in refusal(lambda: open_svhn("svhn", "train", tmp_path, TEN), Code.DATA_DAMAGED)


def test_a_file_without_the_variables_is_refused(tmp_path: Path) -> None:
    """Some other MATLAB file."""
    scipy_io.savemat(tmp_path / "train_32x32.mat", {"z": 1})
    assert "it has no numeric array named X" in refusal(
        lambda: open_svhn("svhn", "train", tmp_path, TEN), Code.DATA_DAMAGED
    )


@given(st.booleans(), st.data())
def test_a_damaged_file_is_refused_or_holds_what_fits(tmp_path: Path, compress: bool, data: st.DataObject) -> None:  # noqa: FBT001
    """Cut or changed anywhere, nothing but a DataError comes out."""
    source = make(tmp_path, labels=(10, 1), compress=compress).read_bytes()
    damaged = bytearray(source)
    at = data.draw(
        st.one_of(st.integers(0, 400), st.integers(0, len(source) - 1)).map(lambda k: min(k, len(source) - 1))
    )
    if data.draw(st.booleans()):
        del damaged[at:]
    else:
        damaged[at] = data.draw(st.integers(0, 255))
    replace_file(tmp_path / "train_32x32.mat", bytes(damaged))
    try:
        split = open_svhn("svhn", "train", tmp_path, TEN)
    except DataError:
        return
    assert len(split) == 2
    assert all_of(split, FRAME).shape == (2, 32, 32, 3)
