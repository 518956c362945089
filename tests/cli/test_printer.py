"""--quiet prints results alone, and --format json prints one document: what the text says, as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome

from nin_spec.network import compile as compile_network

TRAIN = ("train", "nin_digits", "--limit", "64", "--set", "train.epochs=2", "--device", "cpu", "--threads", "1")
DIGITS = compile_network("nin_digits")


def document(outcome: Outcome) -> Any:
    """The one document on standard output."""
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


@pytest.fixture
def run(folder: Path, nin_spec: Callable[..., Outcome]) -> Path:
    """A run folder."""
    assert nin_spec(*TRAIN, "-o", "run", "-q").code == 0
    return folder / "run"


@pytest.mark.usefixtures("folder")
def test_train(nin_spec: Callable[..., Outcome]) -> None:
    """The run, its network, its accuracy and its files; epochs go to standard error, with --quiet nowhere."""
    printed = nin_spec(*TRAIN, "-o", "run", "--format", "json")
    data = document(printed)
    assert "epoch   2: " in printed.err
    assert (data["run"], data["status"], data["epochs"], data["epoch"]) == ("run", "finished", 2, 2)
    assert data["network"] == {"name": "nin_digits", "hash": DIGITS.hash}
    assert (data["dataset"], data["split"], data["images"]) == ("digits", "test", {"train": 64, "test": 64})
    assert {"run/last.safetensors", "run/metrics.csv", "run/curves.png"} <= {Path(f).as_posix() for f in data["files"]}
    assert Path(data["weights"]).is_file()

    text = nin_spec(*TRAIN, "-o", "again", "-q")
    assert text.err == ""
    assert text.out.splitlines() == [
        f"accuracy {data['accuracy']:.2%} of 64 digits pictures (test), after the last epoch",
        "wrote again: last.safetensors, the weights of the last epoch; metrics.csv, curves.png",
    ]


@pytest.mark.usefixtures("folder")
def test_an_interrupted_run(nin_spec: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a document, too, which says so; the exit code stays that of the signal."""
    monkeypatch.setattr("nin_spec.cli.training.stopping.Stop.__call__", lambda _: True)
    printed = nin_spec(*TRAIN, "-o", "run", "--format", "json", "-q")
    assert printed.code == 130
    assert json.loads(printed.out)["status"] == "interrupted"
    assert printed.err == "interrupted; to resume: nin-spec train run --resume\n"


@pytest.mark.usefixtures("run")
def test_evaluate_and_export_and_import(nin_spec: Callable[..., Outcome]) -> None:
    """Paths, bytes, parity and what the passes did; what was imported, with its spec where that is not written."""
    assert nin_spec("evaluate", "run", "--limit", "32", "--device", "cpu", "-q").err == ""

    printed = nin_spec("export", "run", "--onnx", "--source", "--explain", "--format", "json", "-q")
    data = document(printed)
    assert printed.err == ""
    assert data["network"] == {"name": "nin_digits", "hash": DIGITS.hash}
    assert [Path(file["path"]).stat().st_size for file in data["files"]] == [file["bytes"] for file in data["files"]]
    (parity,) = data["exports"]["onnx"]["parity"]
    assert parity["max_relative"] <= parity["tolerance"]
    assert "fold_batch_norm" in [each["name"] for each in data["exports"]["onnx"]["passes"]]
    assert data["exports"]["source"]["parity"] == []

    data = document(nin_spec("import", "nin_digits.onnx", "--format", "json"))
    assert (data["network"]["hash"], data["parameters"], data["spec"]) == (DIGITS.hash, DIGITS.table.parameters, None)
    assert "spec: 1" in data["text"]
    assert any("largest relative difference" in remark for remark in data["remarks"])
    assert 0 <= data["parity"]["max_relative"] <= data["parity"]["tolerance"]
    asked = ("import", "nin_digits.onnx", "-o", "new.yaml", "--weights", "new.safetensors", "-q")
    data = document(nin_spec(*asked, "--format", "json"))
    assert (data["spec"], data["text"], data["weights"]) == ("new.yaml", None, "new.safetensors")
    assert Path("new.yaml").is_file()


@pytest.mark.usefixtures("run")
def test_export_in_another_precision(nin_spec: Callable[..., Outcome]) -> None:
    """What was measured, as data."""
    asked = (
        "export",
        "run",
        "--onnx",
        "--precision",
        "int8",
        "--max-drop",
        "100",
        "--limit",
        "40",
        "--calibrate",
        "40",
    )
    data = document(nin_spec(*asked, "--format", "json", "-q"))["exports"]["onnx"]
    assert data["precision"] == "int8"
    assert [parity["precision"] for parity in data["parity"]] == ["float32", "int8"]
    assert data["reduction"]["max_drop"] == 100
    assert data["reduction"]["evaluation"]["images"] == 40


@pytest.mark.usefixtures("folder")
def test_data(nin_spec: Callable[..., Outcome]) -> None:
    """Each of its commands."""
    known = {entry["name"]: entry for entry in document(nin_spec("data", "list", "--format", "json"))}
    assert known["digits"]["included"]
    assert known["mnist"] == document(nin_spec("data", "show", "mnist", "--format", "json"))
    assert all(len(file["sha256"]) == 64 for file in known["mnist"]["files"])
    saved = document(nin_spec("data", "save", "digits", "out", "--count", "2", "--format", "json"))
    assert [Path(file).is_file() for file in saved["files"]] == [True, True]
    assert document(nin_spec("data", "fetch", "digits", "--format", "json"))["done"] == []
    checked = document(nin_spec("data", "check", "digits", "--format", "json", "-q"))
    assert checked["splits"]["test"]["pictures"] == 359 == sum(entry["test"] for entry in checked["classes"])
    assert checked["errors"] == []


def test_damaged_data(folder: Path, nin_spec: Callable[..., Outcome]) -> None:
    """The document lists what is wrong; the exit code is 2 all the same."""
    assert nin_spec("data", "save", "digits", "all", "--count", "20").code == 0
    for number, file in enumerate(sorted((folder / "all").iterdir())):
        target = folder / "photos/train" / f"class{number % 2}"
        target.mkdir(parents=True, exist_ok=True)
        file.rename(target / file.name)
    (folder / "photos/train/class0/bad.png").write_bytes(b"not a picture")
    printed = nin_spec("data", "check", "photos", "--format", "json")
    assert printed.code == 2
    (error,) = json.loads(printed.out)["errors"]
    assert error["code"] == "NIN802"
    assert "bad.png" in error["message"]


@pytest.mark.usefixtures("folder")
def test_standard_output_holds_one_thing(nin_spec: Callable[..., Outcome]) -> None:
    """A document or a file, whichever option comes first."""
    for options in (("--format", "json", "--onnx", "-"), ("--onnx", "-", "--format", "json")):
        printed = nin_spec("export", "nin_digits", *options)
        assert (printed.code, printed.out) == (2, "")
        assert "only one output can be standard output" in printed.err


@pytest.mark.usefixtures("folder")
def test_a_refusal_prints_no_document(nin_spec: Callable[..., Outcome]) -> None:
    """And a command without --format prints as before after one with it."""
    printed = nin_spec("export", "nowhere.yaml", "--onnx", "--format", "json")
    assert (printed.code, printed.out) == (2, "")
    assert "NIN001" in printed.err
    assert "digits" in nin_spec("data", "list").out
