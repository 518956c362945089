"""nin-spec evaluate: specs, ONNX files and run folders on the bundled digits."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers import alter, answer, forget
from PIL import Image

import nin_spec as library
from nin_spec.cli import execute
from nin_spec.cli.evaluate import progress_bars
from nin_spec.weights import save

Run = Callable[..., Any]

SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.4}}
classes: 10
defaults: {init: kaiming_normal}
blocks:
  - {channels: [8, 8], kernel: 3, padding: 1, pool: {kind: max, kernel: 2, stride: 2}}
  - {channels: [16, classes], kernel: 3, padding: 1}
train: {dataset: digits, epochs: 2, optimizer: {kind: adam, lr: 0.01}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, a run of it, its weights, and the same as an ONNX file."""
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "small.yaml").write_text(SPEC)
    run = folder / "run"
    assert execute(["train", str(folder / "small.yaml"), "--output", str(run), "--device", "cpu"]) == 0
    network = library.compile(folder / "small.yaml")
    model = network.with_weights(run / "last.safetensors")
    save(folder / "w.safetensors", model.weights)
    library.export(model, "onnx", folder / "small.onnx", parity=False)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, being the working folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_a_run_a_spec_and_a_file_give_one_answer(nin_spec: Run) -> None:
    """The very numbers that the training wrote down; the data set goes without saying."""
    run, file = answer(nin_spec("evaluate", "run", "--format", "json")), None
    with Path("run/metrics.csv").open() as text:
        last = list(csv.DictReader(text))[-1]
    assert run["accuracy"] == float(last["test_accuracy"])
    assert run["loss"] == pytest.approx(float(last["test_loss"]), rel=1e-4)
    file = answer(nin_spec("evaluate", "small.onnx", "--format", "json", "--device", "cpu"))
    spec = answer(nin_spec("evaluate", "small.yaml", "--weights", "w.safetensors", "--format", "json"))
    for key in ("accuracy", "top5", "confusion", "per_class", "dataset", "split", "images"):
        assert run[key] == file[key] == spec[key]
    assert file["model"]["hash"] == library.compile("small.yaml").hash
    assert (file["dataset"], file["split"], file["images"], file["split_images"]) == ("digits", "test", 359, 359)
    assert file["torch"]["device"] == "cpu"
    assert file["torch"]["accuracy"] == file["accuracy"]
    assert file["onnxruntime"]["provider"] == "CPUExecutionProvider"
    assert file["agreement"]["same"] == 359
    assert file["not_compared"] is None


@pytest.mark.usefixtures("here")
def test_the_table(nin_spec: Run) -> None:
    """A headline, the agreement, a row a class, the matrix; nothing about progress where no one watches."""
    outcome = nin_spec("evaluate", "run", "--split", "train", "--threads", "1", "--batch", "100")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert re.fullmatch(r"accuracy \d+\.\d\d% of 1,438 \(digits train\)", lines[0])
    assert re.fullmatch(r"top-5 \d+\.\d\d%  mean cross-entropy \d\.\d{4}", lines[1])
    sure = r"expected calibration error 0\.\d{4} \(mean confidence \d+\.\d\d%\); \d+\.\d\d% of the surest 90% correct"
    assert re.fullmatch(sure, lines[2])
    assert lines[3] == "pictures from the digits bundled with nin-spec"
    assert lines[4].startswith("torch on c")
    assert re.fullmatch(r"both predict the same class for all 1,438; the scores differ by \d\.\de-\d\d .*", lines[5])
    assert lines[7].split() == ["class", "images", "correct", "recall", "precision"]
    assert lines[19].split() == ["true", "\\", "predicted", *map(str, range(10))]
    assert len(lines) == 30
    stored = "stored in run/evaluation.train.json\n"
    assert outcome.err == "weights: last.safetensors of run, from the last epoch\n" + stored


@pytest.mark.usefixtures("here")
def test_a_limit_is_reported(nin_spec: Run) -> None:
    """And the pictures are of each class alike."""
    outcome = nin_spec("evaluate", "run", "--limit", "50")
    assert "of 50 of 359 (digits test)" in outcome.out
    found = answer(nin_spec("evaluate", "run", "--limit", "50", "--format", "json"))
    assert {row["images"] for row in found["per_class"]} == {5}
    assert answer(nin_spec("evaluate", "run", "--limit", "9999", "--format", "json"))["images"] == 359


@pytest.mark.usefixtures("here")
def test_untrained_weights(nin_spec: Run) -> None:
    """A spec alone is refused, with what to do; fresh weights that were saved are spoken of."""
    outcome = nin_spec("evaluate", "small.yaml")
    assert outcome.code == 2
    assert "pass --weights FILE, or `nin-spec train small.yaml`" in outcome.err
    assert nin_spec("build", "small.yaml", "-o", "fresh.safetensors").code == 0
    outcome = nin_spec("evaluate", "small.yaml", "--weights", "fresh.safetensors")
    assert outcome.code == 0
    assert "untrained weights (fresh, seed 0): the accuracy means nothing yet" in outcome.err


def test_altered_weights_are_found_out(here: Path, nin_spec: Run) -> None:
    """Compared with the weights that the file should hold: exit 1, and the pictures by number."""
    alter(here / "small.onnx")
    assert nin_spec("evaluate", "small.onnx").code == 0
    outcome = nin_spec("evaluate", "small.onnx", "--weights", "w.safetensors")
    assert outcome.code == 1
    first, second = outcome.out.splitlines()[:2]
    assert first.endswith(" of 359 (digits test): small.onnx in onnxruntime")
    assert re.fullmatch(r"accuracy \d+\.\d\d% of the same: its network with w.safetensors in torch", second)
    assert re.search(r"THEY DISAGREE on \d+ of 359; torch alone has \d+\.\d\d%", outcome.out)
    pictures = re.findall(r"^  picture (\d+) \(\d\): torch says \d, onnxruntime \d", outcome.out, re.MULTILINE)
    assert len(pictures) == 20
    assert re.search(r"^  and \d+ more$", outcome.out, re.MULTILINE)
    outcome = nin_spec("evaluate", "small.onnx", "--weights", "w.safetensors", "--format", "json")
    assert outcome.code == 1
    found = json.loads(outcome.out)
    assert [str(d["image"]) for d in found["agreement"]["first"]] == pictures
    assert found["torch"]["accuracy"] != found["accuracy"] == found["onnxruntime"]["accuracy"]


def test_a_file_without_a_spec(here: Path, nin_spec: Run) -> None:
    """It is evaluated in onnxruntime alone, and that is said; its data set has to be."""
    forget(here / "small.onnx", "spec", "dataset", "output")
    outcome = nin_spec("evaluate", "small.onnx")
    assert outcome.code == 2
    assert "pass --dataset NAME, or --data PATH" in outcome.err
    outcome = nin_spec("evaluate", "small.onnx", "--dataset", "digits")
    assert outcome.code == 0
    assert "no comparison with torch: it has no embedded spec" in outcome.out
    assert "mean cross-entropy unknown: the file does not say what its scores are" in outcome.out
    found = answer(nin_spec("evaluate", "small.onnx", "--dataset", "digits", "--format", "json"))
    assert found["torch"] is found["agreement"] is found["loss"] is None
    assert found["not_compared"].startswith("it has no embedded spec")
    forget(here / "small.onnx", "preprocessing")
    outcome = nin_spec("evaluate", "small.onnx", "--dataset", "digits")
    assert outcome.code == 2
    assert "error NIN701" in outcome.err
    assert "it doesn't declare its preprocessing" in outcome.err


def test_pictures_of_ones_own(here: Path, nin_spec: Run) -> None:
    """A folder of pictures by class; the name goes without saying."""
    for k in range(10):
        for split in ("train", "test"):
            place = here / "mine" / split / str(k)
            place.mkdir(parents=True)
            Image.new("L", (8, 8), 25 * k).save(place / "one.png")
    forget(here / "small.onnx", "dataset")
    found = answer(nin_spec("evaluate", "small.onnx", "--data", "mine", "--format", "json"))
    assert (found["dataset"], found["images"]) == ("mine", 10)


@pytest.mark.usefixtures("here")
def test_another_data_set_is_not_looked_for_where_the_runs_lay(nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's folder of data is that of its own data set."""
    record = json.loads(Path("run/run.json").read_text())
    record["data"]["location"] = "/nowhere/digits"
    Path("run/run.json").write_text(json.dumps(record))
    assert "/nowhere/digits" in nin_spec("evaluate", "run").err
    monkeypatch.setenv("NIN_SPEC_DATA", "/nowhere/else")
    outcome = nin_spec("evaluate", "run", "--dataset", "mnist")
    assert outcome.code == 2
    assert "/nowhere/else/mnist" in outcome.err


def test_the_confusion_picture(here: Path, nin_spec: Run) -> None:
    """It is written, and written again; what a person put there is not."""
    for _ in range(2):
        outcome = nin_spec("evaluate", "run", "--confusion", "c.png")
        assert outcome.code == 0
        assert "wrote c.png" in outcome.err
    with Image.open(here / "c.png") as picture:
        picture.load()
    Image.new("L", (8, 8)).save("mine.png")
    outcome = nin_spec("evaluate", "run", "--confusion", "mine.png")
    assert outcome.code == 2
    assert "mine.png exists, and nin-spec did not write it" in outcome.err
    assert outcome.out == ""
    assert nin_spec("evaluate", "run", "--confusion", "mine.png", "--force").code == 0
    assert nin_spec("evaluate", "run", "--confusion", "no/c.png").code == 2


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--set", "blocks.0.kernel=5"], "--set requires SPEC"),
        (["small.onnx", "--set", "blocks.0.kernel=5"], "--set requires SPEC"),
        (["nothing.onnx"], "error NIN701"),
        (["no_such_spec", "--weights", "w.safetensors"], "error NIN001"),
        (["small.yaml", "--weights", "nothing.safetensors"], "error NIN501"),
        (["small.yaml", "--weights", "w.safetensors", "--set", "blocks.0.channels=[4, 4]"], "error NIN502"),
        (["run", "--dataset", "digitz"], "did you mean 'digits'?"),
        (["run", "--data", "nothing"], "error NIN801"),
        (["."], "error NIN812"),
        (["small.onnx", "--limit", "0"], "--limit"),
    ],
)
def test_what_cannot_be_evaluated(arguments: list[str], message: str, nin_spec: Run) -> None:
    """Exit 2, a reason, nothing on standard output."""
    outcome = nin_spec("evaluate", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""


@pytest.mark.usefixtures("here")
def test_classes_must_be_the_networks(nin_spec: Run) -> None:
    """Another number of classes is another data set."""
    network = library.compile("small.yaml", ["classes=9"])
    save(Path("nine.safetensors"), network.initialise().weights)
    outcome = nin_spec("evaluate", "small.yaml", "--set", "classes=9", "--weights", "nine.safetensors")
    assert outcome.code == 2
    assert "error NIN803" in outcome.err


@pytest.mark.usefixtures("here")
def test_cuda_is_never_replaced(nin_spec: Run) -> None:
    """Without a GPU it exits 2, names the provider, and evaluates nothing."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    for subject in ("run", "small.onnx"):
        outcome = nin_spec("evaluate", subject, "--device", "cuda")
        assert outcome.code == 2
        assert "CUDAExecutionProvider" in outcome.err
        assert outcome.out == ""


def test_the_help_teaches(nin_spec: Run) -> None:
    """An example of each kind of subject."""
    outcome = nin_spec("evaluate", "--help")
    for example in ("evaluate runs/nin_cifar ", "evaluate nin_cifar.onnx", "evaluate nin_cifar --weights"):
        assert example in outcome.out


def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bar for each runtime, gone when it is done; none without tqdm."""
    with progress_bars(10) as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bars(10) as progress:
        assert progress is not None
        progress("torch")(10)
    assert "torch" in capsys.readouterr().err
    monkeypatch.setattr("nin_spec.cli.evaluate.find_spec", lambda _: None)
    with progress_bars(10) as progress:
        assert progress is None


def test_the_parts_of_a_run_are_as_it_knew_them(nin_spec: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its validation accuracy is measured again; `train` leaves the held out pictures out."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SPEC)
    made = nin_spec("train", "small.yaml", "-o", "run", "--set", "train.validation=0.2", "--threads", "1")
    assert made.code == 0, made.err
    record = json.loads(Path("run/run.json").read_text())
    found = answer(nin_spec("evaluate", "run", "--split", "validation", "--format", "json"))
    assert (found["split"], found["images"]) == ("validation", 288)
    assert found["accuracy"] == record["best"]["validation_accuracy"]
    assert library.evaluate(library.open_run("run"), "validation").accuracy == found["accuracy"]
    assert "of 288 (digits validation)" in nin_spec("evaluate", "run", "--split", "validation").out
    assert answer(nin_spec("evaluate", "run", "--split", "train", "--format", "json"))["images"] == 1150
    for subject, words in (("small.yaml", "--split validation requires RUNDIR"), ("run", "")):
        outcome = nin_spec("evaluate", subject, "--split", "validation", "--weights", "run")
        assert (outcome.code, words in outcome.err) == (2 if words else 0, True)


@pytest.mark.usefixtures("here")
def test_a_run_that_held_nothing_out_has_no_validation_part(nin_spec: Run) -> None:
    outcome = nin_spec("evaluate", "run", "--split", "validation")
    assert outcome.code == 2
    assert "its recipe does not hold any out" in outcome.err


@pytest.mark.usefixtures("here")
def test_data_that_is_not_what_its_name_says_is_reported(nin_spec: Run) -> None:
    pictures, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 10
    np.savez("other.npz", x_train=pictures, y_train=labels, x_test=pictures, y_test=labels)
    outcome = nin_spec("evaluate", "run", "--data", "other.npz")
    assert "warning: other.npz has 20 pictures (test), but Handwritten digits of 8x8 pixels has 359" in outcome.err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("run/best.safetensors", "is drawn as a PNG: pass run/best.png"),
        ("run/spec.yaml", "is drawn as a PNG"),
        ("run/curves.png", "belongs to the run"),
    ],
)
def test_the_picture_never_takes_the_place_of_a_result(nin_spec: Run, target: str, words: str) -> None:
    held = {path: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
    outcome = nin_spec("evaluate", "run", "--confusion", target)
    assert (outcome.code, words in outcome.err) == (2, True), outcome.err
    assert {path: path.read_bytes() for path in held} == held


@pytest.mark.usefixtures("here")
def test_the_answer_is_stored_in_the_run(nin_spec: Run) -> None:
    """What is printed, for each split; but not a part of one, nor an evaluation of other weights or pictures."""
    for more in (["--limit", "50"], ["--weights", "w.safetensors"], ["--dataset", "digits"]):
        assert nin_spec("evaluate", "run", *more).code == 0
    assert list(Path("run").glob("evaluation.*")) == []
    for split in ("test", "train"):
        outcome = nin_spec("evaluate", "run", "--split", split, "--format", "json")
        assert f"stored in run/evaluation.{split}.json" in outcome.err
        assert json.loads(Path(f"run/evaluation.{split}.json").read_text()) == json.loads(outcome.out)
        assert json.loads(outcome.out)["split"] == split


@pytest.mark.usefixtures("here")
def test_a_run_that_can_not_be_written_to_is_evaluated(nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a warning that says so."""
    monkeypatch.setattr("nin_spec.files.os.access", lambda *_: False)
    outcome = nin_spec("evaluate", "run")
    assert outcome.code == 0
    assert "warning: the evaluation is not stored: run/evaluation.test.json can't be written" in outcome.err


@pytest.mark.usefixtures("here")
def test_a_reliability_diagram(nin_spec: Run) -> None:
    """A PNG beside that of the confusion; of one path each."""
    assert nin_spec("evaluate", "run", "--reliability", "r.png", "--confusion", "c.png").code == 0
    with Image.open("r.png") as picture:
        assert picture.size[0] > 1000
    assert Path("r.png").read_bytes() != Path("c.png").read_bytes()
    outcome = nin_spec("evaluate", "run", "--reliability", "x.png", "--confusion", "x.png")
    assert outcome.code == 2
    assert "a path of their own" in outcome.err
    forget(Path("small.onnx"), "output")
    outcome = nin_spec("evaluate", "small.onnx", "--reliability", "none.png", "--device", "cpu")
    assert outcome.code == 0
    assert "no reliability diagram is drawn: the file does not say what its scores are" in outcome.err
    assert not Path("none.png").exists()


@pytest.mark.usefixtures("here")
def test_what_is_wrong(nin_spec: Run) -> None:
    """As a table, as JSON and on one sheet: as many as asked for, the surest first, and the pairs of classes."""
    found = answer(nin_spec("evaluate", "run", "--wrong", "12", "--sheet", "s.png", "--format", "json"))
    wrong = found["wrong"]
    assert len(wrong) == 12
    assert [m["probability"] for m in wrong] == sorted((m["probability"] for m in wrong), reverse=True)
    assert all(m["true"] != m["said"] and m["own"] < m["probability"] for m in wrong)
    assert found["seen_differently"] == []
    assert found["confused"][0]["images"] == max(
        n for i, row in enumerate(found["confusion"]) for j, n in enumerate(row) if i != j
    )
    with Image.open("s.png") as sheet:
        assert sheet.size[0] > 1000
    lines = nin_spec("evaluate", "run", "--wrong", "2").out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("wrong, the surest first"))
    assert lines[at + 1].split()[:3] == [wrong[0]["file"], wrong[0]["true"], wrong[0]["said"]]
    assert re.fullmatch(r"2 of \d+ wrong pictures", lines[at + 3])
    assert lines[at + 5].startswith("most often confused: true")
    outcome = nin_spec("evaluate", "run", "--sheet", "s.png")
    assert outcome.code == 2
    assert "pass --wrong N" in outcome.err


@pytest.mark.usefixtures("here")
def test_what_two_runtimes_see_differently_is_listed(nin_spec: Run) -> None:
    """By its name, with what each says."""
    alter(Path("small.onnx"))
    outcome = nin_spec("evaluate", "small.onnx", "--weights", "w.safetensors", "--device", "cpu", "--wrong", "1")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("seen differently"))
    assert lines[at].split() == ["seen", "differently", "true", "torch", "onnxruntime"]
    assert lines[at + 1].startswith("test[")
    assert re.fullmatch(r"20 of \d+ pictures that the two see differently", lines[-1])
