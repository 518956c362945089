"""nin-spec runs: every run below a folder, sorted and filtered, with what is known of each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nin_spec.cli import execute
from nin_spec.training.folder import read_record, write_record

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, which the tests copy and change."""
    folder = tmp_path_factory.mktemp("runs")
    command = ["train", "nin_digits", "-o", str(folder / "a"), "--limit", "60", "--set", "train.epochs=2"]
    assert execute([*command, "--set", "train.validation=0.3", "--device", "cpu", "--threads", "1"]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs, one of them deeper, interrupted and better; being the working folder."""
    for name in ("a", "b", "deep/er/c"):
        shutil.copytree(made / "a", tmp_path / name)
    record = read_record(tmp_path / "deep/er/c")
    better = {**record.best, "validation_accuracy": 0.999}
    write_record(tmp_path / "deep/er/c", record.model_copy(update={"status": "interrupted", "best": better}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(outcome: Any) -> list[str]:
    """The runs of the document that was printed, in order."""
    assert outcome.code == 0, outcome.err
    return [row["path"] for row in json.loads(outcome.out)]


@pytest.mark.usefixtures("here")
def test_every_run_is_listed(nin_spec: Run) -> None:
    """With what the training wrote down, and the accuracy that an evaluation stored."""
    (first, *_) = json.loads(nin_spec("runs", "--format", "json").out)
    assert (first["path"], first["name"], first["status"], first["epochs"]) == ("a", "nin_digits", "finished", 2)
    assert (first["test"], first["parameters"], first["macs"]) == (None, 71402, 1241088)
    assert first["validation"] == read_record(Path("a")).best["validation_accuracy"]
    assert nin_spec("evaluate", "a", "--device", "cpu").code == 0
    (first, *_) = json.loads(nin_spec("runs", "--format", "json").out)
    assert first["test"] == json.loads(Path("a/evaluation.test.json").read_text())["accuracy"]
    lines = nin_spec("runs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "a", "b", "deep/er/c"]
    assert lines[-1].endswith("interrupted")


@pytest.mark.usefixtures("here")
def test_sorted_and_filtered(nin_spec: Run) -> None:
    """The best accuracy first, what is unknown last; by name and by state; below one folder alone."""
    every = ("runs", "--format", "json")
    assert paths(nin_spec(*every, "--sort", "validation")) == ["deep/er/c", "a", "b"]
    assert paths(nin_spec(*every, "--sort", "validation", "--reverse"))[-1] == "deep/er/c"
    assert nin_spec("evaluate", "b", "--device", "cpu").code == 0
    assert paths(nin_spec(*every, "--sort", "test")) == ["b", "a", "deep/er/c"]
    assert paths(nin_spec(*every, "--finished")) == ["a", "b"]
    assert paths(nin_spec(*every, "--name", "nin_d*")) == ["a", "b", "deep/er/c"]
    assert paths(nin_spec(*every, "--name", "other")) == []
    assert paths(nin_spec("runs", "deep", "--format", "json")) == ["deep/er/c"]
    assert nin_spec("runs", "--name", "other").out == "no such run at or below .\n"


@pytest.mark.usefixtures("here")
def test_a_damaged_run_is_a_warning(nin_spec: Run) -> None:
    """The others are listed."""
    Path("b/run.json").write_text("{")
    outcome = nin_spec("runs", "--format", "json")
    assert "warning: b can't be used as a run" in outcome.err
    assert paths(outcome) == ["a", "deep/er/c"]
    assert nin_spec("runs", "nowhere").code == 2


@pytest.mark.usefixtures("here")
def test_curves_are_drawn_over_one_another(nin_spec: Run) -> None:
    """One picture; another suffix is refused, and so is a picture of no run, though an old one is there."""
    assert nin_spec("runs", "--curves", "c.png").code == 0
    with Image.open("c.png") as picture:
        assert picture.size[0] > 1000
    assert nin_spec("runs", "--curves", "c.svg").code == 2
    drawn = Path("c.png").read_bytes()
    outcome = nin_spec("runs", "--name", "other", "--curves", "c.png")
    assert (outcome.code, outcome.out) == (2, "")
    assert "nothing to draw: no such run at or below ." in outcome.err
    assert Path("c.png").read_bytes() == drawn
