"""nin-spec init: a spec beside a folder of pictures, ready to train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of two classes in photos/."""
    monkeypatch.chdir(tmp_path)
    for label, level in (("dark", 40), ("light", 220)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), level + number).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path


def test_what_it_writes_is_clean_and_trains(nin_spec: Run) -> None:
    """Without findings, and its data set is found beside it."""
    done = nin_spec("init", "photos")
    assert done.code == 0
    assert done.out == "wrote photos.nin.yaml (1x8x8, 2 classes, 16 pictures to train on)\n"
    assert nin_spec("check", "photos.nin.yaml").out == "photos.nin.yaml: ok\n"
    quick = ("--set", "train.epochs=1", "--device", "cpu", "--threads", "1", "-o", "run")
    assert nin_spec("train", "photos.nin.yaml", *quick).code == 0
    assert Path("run/run.json").is_file()


def test_a_file_of_a_person_is_not_replaced(nin_spec: Run) -> None:
    """Nor one that was edited since; the pictures are not read first."""
    Path("photos.nin.yaml").write_text("mine")
    done = nin_spec("init", "photos")
    assert done.code == 2
    assert "photos.nin.yaml exists, and nin-spec did not write it" in done.err
    assert Path("photos.nin.yaml").read_text() == "mine"
    assert nin_spec("init", "photos", "-o", "other.yaml").code == 0
    edited = Path("other.yaml").read_text().replace("epochs: 30", "epochs: 20")
    Path("other.yaml").write_text(edited)
    assert nin_spec("init", "photos", "-o", "other.yaml").code == 2
    assert Path("other.yaml").read_text() == edited


def test_a_folder_without_classes_is_refused(nin_spec: Run) -> None:
    """With exit code 2, and nothing is written."""
    Path("empty").mkdir()
    for name, why in (("empty", "has no class folders"), ("missing", "does not exist")):
        done = nin_spec("init", name)
        assert done.code == 2
        assert why in done.err
    assert not list(Path().glob("*.yaml"))
