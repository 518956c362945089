"""Data under a known name that is not what is published under it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from data_files import make_idx, make_pictures

from nin_spec.data import open_split
from nin_spec.data.catalog import CATALOG, Download
from nin_spec.data.published import doubts


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, *, bits: str | None = None) -> None:
    """The catalogue's MNIST, as if these files were it, or others with the same sizes."""
    downloads = tuple(
        Download(path.name, (), path.stat().st_size, bits or hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.iterdir())
    )
    monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], counts=(12, 4), downloads=downloads))


def test_the_published_files_raise_no_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do the bundled digits, nor a name that is not published."""
    make_idx(tmp_path)
    publish(tmp_path, monkeypatch)
    for which in ("train", "test"):
        assert doubts(open_split("mnist", which, tmp_path), tmp_path) == []
        assert doubts(open_split("digits", which), None) == []
        assert doubts(open_split("mine", which, tmp_path), tmp_path) == []


def test_another_count_of_pictures_is_reported(tmp_path: Path) -> None:
    """Pictures by class are accepted under any name, so the name does not describe them."""
    make_pictures(tmp_path / "train", {"0": 2, "1": 1})
    (doubt,) = doubts(open_split("mnist", "train", tmp_path), tmp_path)
    assert doubt == f"{tmp_path / 'train'} has 3 pictures (train), but MNIST has 60,000"


def test_files_of_other_bytes_or_sizes_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_idx(tmp_path)
    publish(tmp_path, monkeypatch, bits="0" * 64)
    first = CATALOG["mnist"].downloads[0].name
    split = open_split("mnist", "train", tmp_path)
    assert doubts(split, tmp_path) == [f"{tmp_path / first} is not the file published for MNIST"]
    with (tmp_path / first).open("ab") as file:
        file.write(b"\0")
    assert doubts(split, tmp_path) == [f"{tmp_path / first} is not the file published for MNIST"]
