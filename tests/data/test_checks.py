"""Fingerprints tell data sets apart; a check finds everything that's damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data_files import make_pictures, pixels

from nin_spec.data import ArraySplit, Split, check_split, fingerprint, open_split
from nin_spec.diagnostics import Code


def split(noise: np.ndarray, labels: np.ndarray) -> Split:
    """A split of these pictures."""
    return ArraySplit("noise", "train", "here", ("a", "b"), labels, lambda k: noise[k])


def test_a_fingerprint_follows_labels_pixels_and_count() -> None:
    """Each of them changes it; the name and the place don't."""
    noise, labels = pixels(20, 4, 4), np.arange(20) % 2
    mine = fingerprint(split(noise, labels))
    assert mine == fingerprint(ArraySplit("other", "test", "there", ("x", "y"), labels, lambda k: noise[k]))
    changed = noise.copy()
    changed[19, 0, 0] ^= 1
    others = [split(changed, labels), split(noise, 1 - labels), split(noise[:19], labels[:19])]
    assert len({mine, *map(fingerprint, others)}) == 4
    assert len(mine) == 64


def test_a_folders_fingerprint_opens_no_picture(tmp_path: Path) -> None:
    """Names and sizes; it moves with the folder, and changes with a file."""
    make_pictures(tmp_path / "x" / "train", {"a": 3, "b": 2})
    mine = fingerprint(open_split("p", "train", tmp_path / "x"))
    (tmp_path / "x").rename(tmp_path / "y")
    picture = tmp_path / "y" / "train" / "a" / "000.png"
    picture.write_bytes(b"?" * picture.stat().st_size)
    assert fingerprint(open_split("p", "train", tmp_path / "y")) == mine
    picture.rename(picture.with_name("new.png"))
    assert fingerprint(open_split("p", "train", tmp_path / "y")) != mine


def test_a_large_split_is_sampled() -> None:
    """No more than 256 pictures are read."""
    asked: list[int] = []

    def read(indices: np.ndarray) -> np.ndarray:
        asked.extend(indices.tolist())
        return np.zeros((len(indices), 4, 4), np.uint8)

    fingerprint(ArraySplit("big", "train", "here", ("a",), np.zeros(100_000, np.int64), read))
    assert len(asked) == 256
    assert asked[0] == 0
    assert asked[-1] == 99_999


def test_a_check_finds_every_damaged_picture(tmp_path: Path) -> None:
    """All batches are read to the end, and progress is reported."""
    make_pictures(tmp_path / "train", {"a": 300}, size=2)
    for k in (0, 5, 299):
        (tmp_path / "train" / "a" / f"{k:03d}.png").write_bytes(b"x")
    told: list[int] = []
    found = check_split(open_split("p", "train", tmp_path), told.append)
    assert [Path(d.message.split(" is damaged")[0]).stem for d in found] == ["000", "005", "299"]
    assert {d.code for d in found} == {Code.DATA_DAMAGED}
    assert told == [256, 300]
    assert check_split(open_split("digits", "test")) == []
