"""nin-spec sweep: what is asked, printed, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SWEEP, Outcome

from nin_spec.cli import execute

Run = Callable[..., Outcome]
QUICK = ("--limit", "40", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of one candidate."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "pets.sweep.yaml").write_text(SWEEP)
    assert execute(["sweep", str(folder / "pets.sweep.yaml"), "-o", str(folder / "out"), *QUICK]) == 0
    return folder / "out"


def test_the_table_names_what_was_found(swept: Path, nin_spec: Run) -> None:
    """A row for each candidate, and how many there were."""
    outcome = nin_spec("sweep", str(swept), "--table")
    assert outcome.code == 0
    header, row, counts = outcome.out.splitlines()
    assert header.split() == ["trial", "validation", "MACs", "parameters"]
    assert "blocks.mlpconv1.channels=[" in row
    assert counts == "1 trained"


def test_the_document_has_every_trial(swept: Path, nin_spec: Run) -> None:
    """With its run folder, and nothing else on standard output."""
    found = json.loads(nin_spec("sweep", str(swept), "--table", "--format", "json").out)
    assert found["counts"] == {"trained": 1}
    assert found["objectives"] == {"validation_accuracy": "max"}
    assert found["front"] == [0]
    assert found["trials"][0]["folder"] == str(swept / "runs/0000")


def test_a_finished_sweep_says_so_at_once(swept: Path, nin_spec: Run) -> None:
    """Its folder is the argument, or its file is."""
    outcome = nin_spec("sweep", str(swept))
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "1 trained")


def test_the_best_is_confirmed_with_other_seeds(swept: Path, nin_spec: Run) -> None:
    """Mean and deviation are printed; run again, nothing is trained."""
    first = nin_spec("sweep", str(swept), "--confirm", "2", "--threads", "1")
    assert first.code == 0
    assert first.out.startswith("trial 0: validation accuracy ")
    assert sorted(path.name for path in (swept / "confirm").iterdir()) == ["0000-1", "0000-2"]
    before = (swept / "confirm/0000-2/run.json").stat().st_mtime_ns
    assert nin_spec("sweep", str(swept), "--confirm", "2", "--threads", "1").out == first.out
    assert (swept / "confirm/0000-2/run.json").stat().st_mtime_ns == before


def test_a_plan_trains_nothing(tmp_path: Path, nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the space and the cost, and writes no folder."""
    monkeypatch.chdir(tmp_path)
    Path("pets.sweep.yaml").write_text(SWEEP)
    outcome = nin_spec("sweep", "pets.sweep.yaml", "--plan", "--format", "json", *QUICK)
    found = json.loads(outcome.out)
    assert (found["combinations"], found["distinct_trainings"], found["trainings"]) == (3, 3, 1)
    assert found["train_images"] == 20
    assert found["mac_epochs"] > 1e6
    assert [path.name for path in Path().iterdir()] == ["pets.sweep.yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing", "--table"), "nothing is not a sweep folder, which results are read from"),
        (("SWEPT", "--set", "train.epochs=2"), "--set needs FILE: "),
        (("SWEPT", "--plan"), "--plan needs FILE: "),
        (("SWEPT", "--table", "--by", "macs"), "'macs' is not an objective of this sweep"),
        (("none.sweep.yaml",), "the file none.sweep.yaml does not exist"),
        (("FILE", "-o", "SWEPT", "--set", "train.epochs=2"), "it is of another sweep than"),
        (("FILE", "-o", "new", "--join", "study.log"), "study.log is not the URL of a PostgreSQL or MySQL database"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_can_not_be_done_is_refused(words: tuple[str, ...], said: str, swept: Path, nin_spec: Run) -> None:
    """With exit code 2, and how to do it."""
    places = {"SWEPT": str(swept), "FILE": str(swept.parent / "pets.sweep.yaml"), "new": str(swept.parent / "new")}
    outcome = nin_spec("sweep", *(places.get(word, word) for word in words))
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
