"""Folders as arguments: a run's, one of specs, one of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Outcome
from PIL import Image
from safetensors.numpy import load_file

import nin_spec as package
from nin_spec.training.begin import train
from nin_spec.training.settings import TrainSettings

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a step or two."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    network = package.compile("nin_digits", ["train.epochs=1"])
    train(network, output=folder, settings=TrainSettings(threads=1, limit=20))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures in class folders, with what a system leaves beside them."""
    for name, count in (("three", 3), ("two", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(np.full((8, 8), 40 * k, np.uint8)).save(tmp_path / "photos" / name / f"{k}.png")
        (tmp_path / "photos" / name / "Thumbs.db").write_bytes(b"system")
    (tmp_path / "photos" / "notes.txt").write_text("about them")
    return tmp_path / "photos"


# ------------------------------------------------------------------ run folders


def test_build_show_and_diff_take_a_run_folder(nin_spec: Run, run_folder: Path) -> None:
    """The network that was trained."""
    name = str(run_folder)
    for form in ("json", "csv"):
        built, own = (nin_spec("build", spec, "--format", form).out for spec in (name, "nin_digits"))
        assert built.replace(f"{name}/spec.yaml", "").count("blocks.") == own.count("blocks.") > 0
    assert "epochs: 1" in nin_spec("show", name).out
    assert nin_spec("show", name, "--format", "graph").out == nin_spec("show", "nin_digits", "--format", "graph").out
    assert "the same function" in nin_spec("diff", name, "nin_digits").out
    assert nin_spec("diff", "nin_digits", name, "--exit-code").code == 0


def test_a_run_is_not_compiled_as_another_network(nin_spec: Run, run_folder: Path) -> None:
    """It was trained as it is."""
    for command in (["build"], ["show"]):
        outcome = nin_spec(*command, str(run_folder), "--set", "name=other")
        assert outcome.code == 2
        assert "is a run folder, whose spec can't be changed" in outcome.err


def test_build_saves_a_run_s_own_weights(nin_spec: Run, run_folder: Path, tmp_path: Path) -> None:
    """Not fresh ones."""
    path = tmp_path / "w.safetensors"
    assert nin_spec("build", str(run_folder), "-o", str(path)).code == 0
    saved, own = load_file(path), load_file(run_folder / "last.safetensors")
    assert saved.keys() == own.keys()
    assert all(np.array_equal(saved[name], own[name]) for name in own)


def test_run_takes_a_run_folder(nin_spec: Run, run_folder: Path, photos: Path) -> None:
    """With the weights that it learned, and what its export would say."""
    picture = str(photos / "two" / "1.png")
    found = json.loads(nin_spec("run", str(run_folder), picture, "--device", "cpu", "--format", "json").out)
    assert found["weights"].startswith("trained on digits")
    path = photos.parent / "net.onnx"
    package.export(package.open_run(run_folder).model(), "onnx", path)
    same = json.loads(nin_spec("run", str(path), picture, "--device", "cpu", "--format", "json").out)
    assert found["predictions"] == same["predictions"]


@pytest.mark.parametrize(
    "command", [["run", "tiny.yaml", "x.png"], ["run", "nin_cifar", "x.png"], ["serve", "tiny.yaml"]]
)
def test_a_spec_has_no_weights_to_run_with(nin_spec: Run, folder: Path, command: list[str]) -> None:
    """What has, and how to come to it, is said."""
    (folder / "x.png").write_bytes(b"")
    outcome = nin_spec(*command)
    assert outcome.code == 2
    assert "nin-spec export" in outcome.err
    assert "is a spec, which has no weights" in outcome.err


@pytest.mark.parametrize(
    "command", [["build"], ["show"], ["check"], ["train"], ["export", "--onnx"], ["run", "x.png"], ["evaluate"]]
)
def test_a_file_of_another_tool_names_the_way_in(nin_spec: Run, folder: Path, command: list[str]) -> None:
    """From every command that takes a spec or a model."""
    (folder / "net.h5").write_bytes(b"\x89HDF\r\n")
    outcome = nin_spec(command[0], "net.h5", *command[1:])
    assert outcome.code == 2
    assert "is a Keras model, not a" in outcome.out + outcome.err
    assert "nin-spec import net.onnx -o net.yaml" in outcome.out + outcome.err


def test_import_names_the_way_too(nin_spec: Run, folder: Path) -> None:
    """For what is not ONNX; a spec does not need an import."""
    (folder / "net.h5").write_bytes(b"\x89HDF\r\n")
    assert "a Keras model: export it" in nin_spec("import", "net.h5").err
    assert "a spec does not need an import: nin-spec build tiny.yaml" in nin_spec("import", "tiny.yaml").err


# ------------------------------------------------------------------ folders of specs


def test_check_takes_a_folder_of_specs(nin_spec: Run, folder: Path, run_folder: Path) -> None:
    """All of them and those in folders below, no other YAML, nothing hidden, and no run's."""
    (folder / "more").mkdir()
    (folder / "more" / "child.yml").write_text("extends: ../tiny.yaml\nname: child\n")
    (folder / "more" / "compose.yaml").write_text("services: {web: {image: a}}\n")
    (folder / "more" / "deploy.yaml").write_text("kind: Deployment\nspec:\n  replicas: 1\n")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "bad.yaml").write_text("spec: 1\n")
    (folder / "runs").mkdir()
    (folder / "runs" / "x").symlink_to(run_folder)
    outcome = nin_spec("check", ".", "--no-lint")
    assert outcome.code == 0
    assert outcome.out.splitlines() == ["more/child.yml: ok", "tiny.yaml: ok"]
    (folder / "more" / "bad.yaml").write_text("spec: 1\nname: bad\nblokcs: []\n")
    outcome = nin_spec("check", ".", "--no-lint")
    assert outcome.code == 2
    assert "more/bad.yaml:3:1" in outcome.out
    assert "tiny.yaml: ok" in outcome.out


def test_check_takes_a_run_folder(nin_spec: Run, run_folder: Path) -> None:
    """Its own spec, which --fix does not change, since it records what was trained."""
    outcome = nin_spec("check", str(run_folder), "--no-lint")
    assert outcome.out == f"{run_folder}/spec.yaml: ok\n"
    outcome = nin_spec("check", str(run_folder), "--fix")
    assert outcome.code == 2
    assert "does not change the spec" in outcome.err


def test_check_fixes_every_spec_of_a_folder(nin_spec: Run, folder: Path) -> None:
    """As it does named files."""
    text = TINY.replace("# nin: ignore[NIN908] biases, too", "")
    (folder / "tiny.yaml").write_text(text)
    assert nin_spec("check", ".", "--diff").code == 1
    assert nin_spec("check", ".", "--fix").code == 0
    assert (folder / "tiny.yaml").read_text() != text


def test_a_folder_without_specs_is_refused(nin_spec: Run, folder: Path) -> None:
    """With what was skipped."""
    (folder / "other").mkdir()
    (folder / "other" / "compose.yaml").write_text("services: {}\n")
    outcome = nin_spec("check", "other")
    assert outcome.code == 2
    assert "other contains no specs" in outcome.err
    assert "1 other YAML file" in outcome.err


# ------------------------------------------------------------------ folders of pictures


def test_run_takes_a_folder_of_pictures(nin_spec: Run, run_folder: Path, photos: Path) -> None:
    """Every one below it, in order; other files are named as skipped, those of the operating system are not."""
    outcome = nin_spec("run", str(run_folder), str(photos), "--device", "cpu", "--format", "json")
    assert outcome.code == 0, outcome.err
    files = [str(photos / name) for name in ("three/0.png", "three/1.png", "three/2.png", "two/0.png", "two/1.png")]
    assert [p["file"] for p in json.loads(outcome.out)["predictions"]] == files
    assert f"skipped in {photos}: notes.txt" in outcome.err
    assert "Thumbs.db" not in outcome.err


def test_good_pictures_are_shown_beside_a_bad_one(nin_spec: Run, run_folder: Path, photos: Path) -> None:
    """The bad one is named, the exit code is 2, and no scores are saved that would be those of other files."""
    (photos / "three" / "1.png").write_bytes((photos / "three" / "2.png").read_bytes()[:40])
    scores = photos.parent / "scores.npy"
    outcome = nin_spec("run", str(run_folder), str(photos), "--device", "cpu", "-o", str(scores))
    assert outcome.code == 2
    assert outcome.out.count(".png") == 4
    assert "three/1.png can't be used" in outcome.err
    assert f"1 file of 5 can't be used, and {scores} is not written" in outcome.err
    assert not scores.exists()


def test_more_files_than_are_read_at_a_time(
    nin_spec: Run, run_folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give what they give one by one."""
    monkeypatch.setattr("nin_spec.cli.run._AT_A_TIME", 2)
    some = json.loads(nin_spec("run", str(run_folder), str(photos), "--device", "cpu", "--format", "json").out)
    monkeypatch.setattr("nin_spec.cli.run._AT_A_TIME", 100)
    whole = json.loads(nin_spec("run", str(run_folder), str(photos), "--device", "cpu", "--format", "json").out)
    assert [p["file"] for p in some["predictions"]] == [p["file"] for p in whole["predictions"]]
    for one, other in zip(some["predictions"], whole["predictions"], strict=True):
        assert [row["class"] for row in one["top"]] == [row["class"] for row in other["top"]]


def test_a_folder_without_pictures_is_refused(nin_spec: Run, run_folder: Path, tmp_path: Path) -> None:
    """Before the model is opened."""
    outcome = nin_spec("run", str(run_folder), str(tmp_path))
    assert outcome.code == 2
    assert "holds no pictures" in outcome.err


@pytest.mark.parametrize("command", [["check", ""], ["run", "RUN", ""], ["build", ""], ["run", "", "x.npy"]])
def test_an_empty_name_is_refused(
    nin_spec: Run, folder: Path, run_folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a shell variable that is not set; it is not the working folder, which has a spec and a picture."""
    monkeypatch.chdir(folder)
    (folder / "mine.yaml").write_text(TINY)
    Image.new("L", (8, 8)).save(folder / "x.png")
    outcome = nin_spec(*(word.replace("RUN", str(run_folder)) for word in command))
    assert outcome.code == 2
    assert "is empty" in outcome.err + outcome.out
