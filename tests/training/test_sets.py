"""A data set that lies beside the spec under its own name is used; one that has another place is read from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import nin_spec
from nin_spec.cli import execute
from nin_spec.training.folder import open_run
from nin_spec.training.sets import beside

SPEC = """\
spec: 1
name: pets
input: {channels: 1, size: 8}
classes: 2
blocks:
  - {channels: [4, classes], kernel: 3, padding: 1}
train: {dataset: photos, epochs: 1, batch_size: 4, optimizer: {kind: sgd, lr: 0.01}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spec and the pictures that it names; the working folder is another."""
    for name in ("cat", "dog"):
        (tmp_path / "project" / "photos" / name).mkdir(parents=True)
        for k in range(6):
            Image.new("L", (8, 8), 40 * k).save(tmp_path / "project" / "photos" / name / f"{k}.png")
    (tmp_path / "project" / "pets.yaml").write_text(SPEC)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "project"


def test_train_and_evaluate_use_what_lies_beside_the_spec(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And report it; the run knows where, when it is resumed and when it is evaluated."""
    spec = str(place / "pets.yaml")
    assert execute(["train", spec, "-o", "run", "--threads", "1"]) == 0
    assert f"data: {place / 'photos'}, beside the spec" in capsys.readouterr().err
    assert open_run("run").location == place / "photos"
    assert execute(["evaluate", "run", "--device", "cpu"]) in {0, 1}
    assert f"pictures from {place / 'photos'}" in capsys.readouterr().out
    weights = ["--weights", "run/last.safetensors", "--device", "cpu"]
    assert execute(["evaluate", spec, *weights]) in {0, 1}
    assert f"pictures from {place / 'photos'}" in capsys.readouterr().out


def test_what_lies_beside_is_found_by_the_spec_s_own_folder(place: Path) -> None:
    """Of a family also by the folder of the file that names the data set; not by the working folder."""
    assert beside(nin_spec.compile(place / "pets.yaml")) == place / "photos"
    Path("child.yaml").write_text(f"extends: {place}/pets.yaml\nname: child\n")
    assert beside(nin_spec.compile("child.yaml")) == place / "photos"
    Path("photos").mkdir()
    assert beside(nin_spec.compile("child.yaml")) == Path("photos")
    assert beside(nin_spec.compile("child.yaml", ["train.dataset=other"])) is None
    Path("other.npz").write_bytes(b"PK")
    assert beside(nin_spec.compile("child.yaml", ["train.dataset=other"])) == Path("other.npz")
    assert beside(nin_spec.compile(nin_spec.loads(SPEC, "<stdin>"))) == Path("photos")


def test_a_data_set_that_has_its_own_place_is_read_from_there(place: Path) -> None:
    """The digits are bundled; a folder of that name is not used instead."""
    (place / "digits").mkdir()
    assert beside(nin_spec.compile(place / "pets.yaml", ["train.dataset=digits"])) is None
    assert beside(nin_spec.compile("nin_digits")) is None


def test_a_folder_in_the_working_folder_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it does not lie beside the spec."""
    Path("mine").mkdir()
    assert execute(["train", str(place / "pets.yaml"), "--set", "train.dataset=mine"]) == 2
    assert "hint: mine is in the current folder: pass --data mine" in capsys.readouterr().err
