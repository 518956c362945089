"""Pictures of a data set as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin_spec.data import open_split, subset
from nin_spec.data.saving import raw_pictures, save_pictures
from nin_spec.diagnostics import DataError, ExportError


def test_saved_pictures_are_the_stored_ones_and_named_by_number_and_class(tmp_path: Path) -> None:
    """Also through a view, whose numbers are its own."""
    split = open_split("digits", "test")
    chosen = subset(split, np.arange(100, 110))
    made = save_pictures(chosen, np.array([0, 3]), tmp_path)
    assert [p.name for p in made] == [f"test-{k}-{split.labels[100 + k]}.png" for k in (0, 3)]
    for path, raw in zip(made, raw_pictures(split, np.array([100, 103])), strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), raw)


def test_a_folder_of_pictures_needs_no_saving(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            Image.new("L", (4, 4)).save(folder / "1.png")
    with pytest.raises(DataError, match="already"):
        save_pictures(open_split("mine", "test", tmp_path / "set"), np.array([0]), tmp_path)


def test_a_file_that_holds_something_else_is_left(tmp_path: Path) -> None:
    """The same picture may be written again."""
    split, numbers = open_split("digits", "test"), np.array([0, 1])
    first, second = save_pictures(split, numbers, tmp_path)
    assert save_pictures(split, numbers, tmp_path) == [first, second]
    first.unlink()
    second.write_text("mine")
    with pytest.raises(ExportError, match="exists with different content"):
        save_pictures(split, numbers, tmp_path)
    assert second.read_text() == "mine"
    assert not first.exists()
    save_pictures(split, numbers, tmp_path, replace=True)
    assert second.read_bytes().startswith(b"\x89PNG")
