"""nin-spec diff of two runs: what differs in network, recipe, settings, data, versions and result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nin_spec.cli import execute
from nin_spec.training.folder import open_run, read_record, write_record
from nin_spec.training.run_difference import SECTIONS, compare_runs

Run = Callable[..., Any]
LITTLE = ("--limit", "60", "--device", "cpu", "--threads", "1", "--set", "train.validation=0.3")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one network, the second with another seed and rate for one epoch more."""
    folder = tmp_path_factory.mktemp("diff")
    for name, more in {"a": ("1",), "b": ("2", "--set", "train.seed=5", "--set", "train.optimizer.lr=0.02")}.items():
        epochs, *others = more
        command = ["train", "nin_digits", "-o", str(folder / name), "--set", f"train.epochs={epochs}", *others]
        assert execute([*command, *LITTLE]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, being the working folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def document(outcome: Any) -> dict[str, Any]:
    """The document that was printed."""
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    return found


@pytest.mark.usefixtures("here")
def test_what_differs_is_in_its_section(nin_spec: Run) -> None:
    """A recipe, a package, the pictures: each value once, with its path."""
    record = read_record(Path("b"))
    data = record.data.model_copy(update={"train_images": 43, "train_fingerprint": "other"})
    versions = {**record.versions, "torch": "9.9"}
    settings = record.settings.__class__(device="cpu", threads=3, limit=60)
    changes = {"data": data, "versions": versions, "settings": settings, "started_from": "w.safetensors"}
    write_record(Path("b"), record.model_copy(update=changes))
    found = document(nin_spec("diff", "a", "b", "--format", "json"))
    assert found["same_function"]
    values = {name: {v["path"]: (v["before"], v["after"]) for v in found[name]} for name in SECTIONS}
    assert values["recipe"]["train.epochs"] == (1, 2)
    assert values["recipe"].keys() == {"train.epochs", "train.seed", "train.optimizer.lr"}
    assert values["settings"]["threads"] == (1, 3)
    assert values["settings"]["started_from"] == (None, "w.safetensors")
    assert values["data"]["train_images"][1] == 43
    assert {"train_images", "train_fingerprint"} <= values["data"].keys() <= {*data.model_fields_set}
    assert values["versions"] == {"torch": (record.versions["torch"], "9.9")}


@pytest.mark.usefixtures("here")
def test_the_results_stand_side_by_side(nin_spec: Run) -> None:
    """Accuracy by split, best epoch, parameters, MACs and time: those that `nin-spec runs` lists."""
    rows = json.loads(nin_spec("runs", "--format", "json").out)
    found = document(nin_spec("diff", "a", "b", "--format", "json"))
    assert [found["result"]["before"], found["result"]["after"]] == rows
    lines = nin_spec("diff", "a", "b").out.splitlines()
    table = lines[next(k for k, line in enumerate(lines) if line.startswith("result ")) :]
    names = ["train accuracy", "validation accuracy", "test accuracy", "status", "best epoch", "parameters", "MACs"]
    assert [line[:20].rstrip() for line in table] == ["result", *names, "seconds", "other weights"]
    a, b = (row["validation"] for row in rows)
    assert f"{a:.2%}" in table[2]
    assert f"{b:.2%}" in table[2]
    assert (f"{100 * (b - a):+.2f} points" in table[2]) == (a != b)


@pytest.mark.usefixtures("here")
def test_as_text(nin_spec: Run) -> None:
    """The networks first, as ever; a section without a difference is one line. Another seed validates on others."""
    lines = nin_spec("diff", "a", "b").out.splitlines()
    assert lines[:2] == ["- a", "+ b"]
    assert lines[2].startswith("the same function")
    assert [line for line in lines if line.startswith(SECTIONS)] == [
        "recipe",
        "settings: the same",
        "data",
        "versions: the same",
    ]
    assert lines.count("  train.epochs: 1 -> 2") == 1


@pytest.mark.usefixtures("here")
def test_a_run_and_itself(nin_spec: Run) -> None:
    """Nothing differs, and the weights are the same to the byte."""
    shutil.copytree("a", "copy")
    outcome = nin_spec("diff", "a", "copy", "--exit-code")
    assert outcome.code == 0
    assert "the same network, written the same way" in outcome.out
    assert outcome.out.count(": the same\n") == len(SECTIONS)
    assert outcome.out.endswith("the same weights, to the byte\n")
    assert compare_runs(open_run("a"), open_run("copy")).same_weights


@pytest.mark.usefixtures("here")
def test_a_run_without_weights_has_none_to_compare(nin_spec: Run) -> None:
    """It was interrupted before its first epoch ended."""
    record = read_record(Path("b"))
    write_record(Path("b"), record.model_copy(update={"status": "running", "final": {}, "best": {}}))
    for name in ("best.safetensors", "last.safetensors", "metrics.csv", "timings.csv"):
        Path("b", name).unlink(missing_ok=True)
    outcome = nin_spec("diff", "a", "b")
    assert outcome.code == 0, outcome.err
    assert "- of 0" in outcome.out
    assert outcome.out.endswith("no weights to compare: b has none yet\n")


@pytest.mark.usefixtures("here")
def test_a_run_and_a_spec_are_compared_as_networks(nin_spec: Run) -> None:
    """Without a result to compare, the recipe's values are listed with the others."""
    outcome = nin_spec("diff", "a", "nin_digits")
    assert outcome.code == 0
    assert "  train.epochs: 1 -> " in outcome.out
    assert "result " not in outcome.out
    assert "versions" not in json.loads(nin_spec("diff", "a", "nin_digits", "--format", "json").out)
