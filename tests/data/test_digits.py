"""The bundled digits are scikit-learn's, and their two splits never change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from data_files import all_of
from sklearn.datasets import load_digits

import nin_spec.data
from nin_spec.data import Frame, open_split
from nin_spec.data.catalog import CATALOG
from nin_spec.data.idx import read_idx

HERE = Path(nin_spec.data.__file__).parent
FRAME = Frame(1, 8, 8)


def test_the_files_are_scikit_learns_digits() -> None:
    """Pixel by pixel and label by label, as they are there: 0 to 16."""
    theirs = load_digits()
    assert np.array_equal(read_idx(HERE / "digits-images-idx3-ubyte.gz", 3), theirs.images)
    assert np.array_equal(read_idx(HERE / "digits-labels-idx1-ubyte.gz", 1), theirs.target)


def test_pixels_are_scaled_to_bytes() -> None:
    """16 becomes 255, the rest is rounded; each picture is in one of the splits."""
    scaled = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    ours = np.concatenate([all_of(open_split("digits", split), FRAME)[..., 0] for split in ("train", "test")])
    assert sorted(p.tobytes() for p in ours) == sorted(p.tobytes() for p in scaled)
    assert ours.max() == 255


def test_a_fifth_of_each_class_is_held_out_for_good() -> None:
    """The split decides what an accuracy means, so its labels never change."""
    train, test = open_split("digits", "train"), open_split("digits", "test")
    assert (len(train), len(test)) == CATALOG["digits"].counts == (1438, 359)
    every = np.bincount(load_digits().target)
    assert np.array_equal(np.bincount(train.labels) + np.bincount(test.labels), every)
    assert np.abs(np.bincount(test.labels) - every / 5).max() < 1
    digest = hashlib.sha256(test.labels.astype("<i8").tobytes() + all_of(test, FRAME).tobytes()).hexdigest()
    assert digest == "51aa39bed0cd3d72902b1781750577c549873ad3e5389cc568d95fb0220d76cc"
    assert test.where == "the digits bundled with nin-spec"
