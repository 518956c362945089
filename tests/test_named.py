"""What a person named is identified once, and every kind leads to a network, a model, or the way to one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import nin_spec
from nin_spec.diagnostics import Code, InputError, NinSpecError, SpecError, TrainingError
from nin_spec.foreign import FOREIGN
from nin_spec.named import (
    ExportedFile,
    GitRevision,
    Named,
    RunFolder,
    ShippedSpec,
    SpecFile,
    StandardInput,
    resolve,
)
from nin_spec.opened import compile as compile_network
from nin_spec.opened import model_of
from nin_spec.runtime.session import open_session
from nin_spec.training.begin import train
from nin_spec.training.settings import TrainSettings

NETWORK = nin_spec.compile("nin_digits", ["train.epochs=1"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one thing of each kind."""
    folder = tmp_path_factory.mktemp("named")
    train(NETWORK, output=folder / "run", settings=TrainSettings(threads=1, limit=20))
    (folder / "mine.yaml").write_text((folder / "run" / "spec.yaml").read_text())
    (folder / "mine.json").write_text('{"spec": 1}')
    (folder / "keras.json").write_text('{"class_name": "Sequential"}')
    (folder / "nin_cifar.yaml").write_text("spec: 1\n")
    nin_spec.export(NETWORK.initialise(), "onnx", folder / "net.onnx")
    (folder / "net.pb").write_bytes((folder / "net.onnx").read_bytes())
    (folder / "empty").mkdir()
    (folder / "HEAD:x.yaml").write_text("spec: 1\n")
    for suffix in FOREIGN:
        if not (folder / f"net{suffix}").exists():
            (folder / f"net{suffix}").write_bytes(b"\x89 something of another tool")
    return folder


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("-", StandardInput()),
        ("nin_cifar", ShippedSpec("nin_cifar")),
        ("nin_cifar.yaml", SpecFile(Path("nin_cifar.yaml"))),
        ("mine.yaml", SpecFile(Path("mine.yaml"))),
        ("mine.json", SpecFile(Path("mine.json"))),
        ("nowhere.yaml", SpecFile(Path("nowhere.yaml"))),
        ("nin_cifr", SpecFile(Path("nin_cifr"))),
        ("empty", SpecFile(Path("empty"))),
        ("run", RunFolder(Path("run"))),
        ("run/", RunFolder(Path("run"))),
        ("run/spec.yaml", SpecFile(Path("run/spec.yaml"))),
        ("net.onnx", ExportedFile(Path("net.onnx"))),
        ("net.pb", ExportedFile(Path("net.pb"))),
        ("nowhere.onnx", ExportedFile(Path("nowhere.onnx"))),
        ("HEAD~1:specs/a.yaml", GitRevision("HEAD~1", "specs/a.yaml")),
        ("HEAD:x.yaml", SpecFile(Path("HEAD:x.yaml"))),
    ],
)
def test_each_kind_is_distinguished(place: Path, name: str, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name and what is there."""
    monkeypatch.chdir(place)
    assert resolve(name) == named


@pytest.mark.parametrize("suffix", [*(s for s in FOREIGN if s not in {".pb", ".json"}), ".json"])
def test_files_of_other_tools_name_the_way_in(place: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a spec is expected, and where a model is; also when they are not there."""
    monkeypatch.chdir(place)
    name = "keras.json" if suffix == ".json" else f"net{suffix}"
    for error, call in ((SpecError, resolve), (InputError, model_of)):
        with pytest.raises(error) as caught:
            call(name)
        found = caught.value.diagnostics[0]
        assert found.code is Code.WRONG_KIND
        assert FOREIGN[suffix].what in found.message
        assert found.hint == FOREIGN[suffix].way_from(Path(name))
        with pytest.raises(error) as caught:
            call(f"nowhere{suffix}")
        assert caught.value.diagnostics[0].code is Code.FILE_NOT_FOUND
        assert FOREIGN[suffix].what in str(caught.value.diagnostics[0].hint)


def test_a_spec_of_any_kind_and_a_run_give_a_network(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the run is the one that was trained, and takes no overrides."""
    monkeypatch.chdir(place)
    hashes = {compile_network(name).hash for name in ("mine.yaml", "run", "run/spec.yaml")}
    assert hashes == {NETWORK.hash}
    assert compile_network("run").card.labels == tuple("0123456789")
    assert compile_network("nin_digits", ["name=other"]).card.name == "other"
    with pytest.raises(SpecError, match="run is a run folder, whose spec can't be changed"):
        compile_network("run", ["name=other"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.onnx", "nin-spec import net.onnx -o net.yaml"),
        ("nowhere.onnx", "the file nowhere.onnx does not exist"),
        ("HEAD~1:a.yaml", "only nin-spec diff reads"),
        ("empty", "is a directory"),
        ("nin_cifr", "did you mean 'nin_cifar'"),
    ],
)
def test_what_gives_no_network_says_what_does(
    place: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 2."""
    monkeypatch.chdir(place)
    with pytest.raises(NinSpecError) as caught:
        compile_network(name)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_and_a_run_give_a_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's result, with its labels; a spec has no weights, and the error says how to get them."""
    monkeypatch.chdir(place)
    assert model_of("net.onnx") == Path("net.onnx")
    assert model_of("something") == Path("something")
    session = open_session(model_of("run"), "cpu", 1)
    assert session.metadata.labels == tuple("0123456789")
    assert session.metadata.weights.startswith("trained on digits")
    for name in ("mine.yaml", "nin_cifar", "-"):
        with pytest.raises(InputError, match="is a spec, which has no weights to run with"):
            model_of(name)


def test_a_run_without_a_result_is_reported(place: Path, tmp_path: Path) -> None:
    """It has to be finished first."""
    for name in ("run.json", "spec.yaml"):
        (tmp_path / name).write_bytes((place / "run" / name).read_bytes())
    with pytest.raises(TrainingError, match=r"no last.safetensors yet"):
        model_of(tmp_path)


def test_nothing_is_opened_that_would_wait(tmp_path: Path) -> None:
    """A pipe has no first bytes until somebody writes."""
    os.mkfifo(tmp_path / "pipe.json")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecError):
        resolve(tmp_path / "pipe.json")
    assert resolve(tmp_path / "pipe") == SpecFile(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["s3://bucket/a.yaml", "https://host/net.onnx", "gs://bucket/run", "file:///a.pt"])
def test_a_url_is_called_one(name: str) -> None:
    """It is neither a file that is missing nor a revision of git, where a spec is expected and where a model is."""
    for error, call in ((SpecError, resolve), (InputError, model_of)):
        with pytest.raises(error, match="is a URL, and only local files are read") as caught:
            call(name)
        assert name in str(caught.value)


def test_an_empty_name_is_not_the_working_folder() -> None:
    """As of a shell variable that is not set."""
    for error, call in ((SpecError, resolve), (InputError, model_of)):
        with pytest.raises(error, match="the name is empty"):
            call("")


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 5000 + ".yaml", "a\0b", "x" * 300 + "/y"])
def test_a_name_that_no_file_can_have_is_a_spec_that_is_not_there(name: str) -> None:
    """Too long for the file system, or with a NUL: reported like any missing file, where it is read."""
    assert isinstance(resolve(name), SpecFile)
    with pytest.raises(NinSpecError):
        compile_network(name)
