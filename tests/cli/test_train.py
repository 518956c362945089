"""nin-spec train, and what becomes of a run folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm

SMALL = """\
spec: 1
name: small
input: {channels: 1, size: 8}
classes: 10
defaults: {norm: batch, init: kaiming_normal}
blocks:
  - {channels: [12, 12], kernel: 3, padding: 1, pool: {kind: max, kernel: 2, stride: 2}}
  - {kernel: 3, padding: 1, convs: [12, {channels: classes, norm: none, activation: none}]}
head: {pool: global_avg}
train:
  dataset: digits
  batch_size: 128
  epochs: 1
  optimizer: {kind: adamw, lr: 0.01}
"""
ONE_BY_ONE = "head: {pool: global_avg, norm: batch}"
Command = Callable[..., Any]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `small.yaml`."""
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_reported_from_start_to_next_step(nin_spec: Command, small: Path) -> None:
    done = nin_spec("train", "small.yaml", "--threads", "1")
    assert done.code == 0, done.err
    assert "small: 1,864 parameters" in done.err or "small: " in done.err
    assert "1 epoch, 11 steps of 128; cpu, 1 thread, float32" in done.err
    assert "epoch   1: loss" in done.out
    assert "data " in done.out
    assert "of 359 digits pictures (test), after the last epoch" in done.out
    assert "next: nin-spec evaluate runs/small" in done.err
    assert (small / "runs" / "small" / "last.safetensors").is_file()


@pytest.mark.usefixtures("small")
def test_one_command_begins_and_continues(nin_spec: Command) -> None:
    """For jobs that a cluster starts again: the same words each time."""
    for after in ("", ", resumed after step 11"):
        done = nin_spec("train", "small.yaml", "-o", "run", "--resume", "--threads", "1")
        assert done.code == 0, done.err
        assert f"run folder: run{after}\n" in done.err


def test_the_next_run_has_a_folder_of_its_own(nin_spec: Command, small: Path) -> None:
    for _ in range(2):
        assert nin_spec("train", "small.yaml", "--threads", "1").code == 0
    assert sorted(p.name for p in (small / "runs").iterdir()) == ["small", "small-2"]


def test_a_run_folder_goes_into_export_and_evaluation_with_labels_and_weights(nin_spec: Command, small: Path) -> None:
    trained = nin_spec("train", "small.yaml", "--threads", "1", "-o", "run")
    accuracy = json.loads((small / "run" / "run.json").read_text())["final"]["test_accuracy"]
    assert trained.code == 0
    exported = nin_spec("export", "run", "--onnx", "small.onnx")
    assert exported.code == 0, exported.err
    assert "weights: last.safetensors of run" in exported.err
    for subject in ("run", "small.onnx"):
        found = nin_spec("evaluate", subject, "--format", "json")
        assert found.code == 0, found.err
        assert json.loads(found.out)["accuracy"] == pytest.approx(accuracy)
        assert json.loads(found.out)["images"] == 359


@pytest.mark.usefixtures("small")
def test_resume_takes_the_newest_run_of_a_spec(nin_spec: Command) -> None:
    nin_spec("train", "small.yaml", "--threads", "1")
    done = nin_spec("train", "small.yaml", "--resume")
    assert done.code == 0, done.err
    assert "run folder: runs/small, resumed after step 11" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("runs/small",), "pass --resume"),
        (("runs/small",), "nin-spec train runs/small/spec.yaml --weights runs/small --set train.epochs=N"),
        (
            ("runs/small", "--resume", "--set", "train.epochs=3"),
            "to train it longer: nin-spec train runs/small/spec.yaml",
        ),
        (("runs/small", "--resume", "--set", "train.epochs=3"), "leave out --set"),
        (("small.yaml", "-o", "runs/small", "--resume", "--set", "train.epochs=3"), "another network or recipe"),
        (("small.yaml", "-o", "runs/small", "--resume", "--set", "train.epochs=3"), "(differs in: train.epochs)"),
        (
            ("small.yaml", "-o", "runs/small", "--resume", "--set", "blocks.0.kernel=5", "--set", "blocks.0.padding=2"),
            "(differs in: blocks.0.convs.0.kernel, blocks.0.convs.0.padding)",
        ),
        (("small.yaml", "-o", "runs/small", "--resume", "--accumulate", "2"), "leave out --accumulate"),
        (("runs/small", "--resume", "--threads", "2"), "leave out --threads"),
        (("small.yaml", "-o", "runs/small"), "exists already: it is a run"),
        (("small.yaml", "-o", "."), "was not made by nin-spec train"),
        (("small.yaml", "--weights", "nowhere"), "it does not exist"),
        (("small.yaml", "--new-head"), "--new-head needs --weights"),
        (("runs/small", "--resume", "--new-head"), "leave out --new-head"),
        (("small.yaml", "--set", "train.freeze=[blocks.0.pool]"), "the network has no parameter 'blocks.0.pool'"),
        (("small.yaml", "--set", "train.freeze=[blocks]"), "train.freeze leaves no parameter to train"),
        (("small.yaml", "--checkpoint-minutes", "nan"), "pass a finite number of minutes"),
        (("small.yaml", "--set", "train.optimizer={kind: sgd, lr: 1, nesterov: true}"), "nesterov needs momentum"),
        (("small.yaml", "--set", "train.resize=16384"), "a batch of 128 pictures of 16384x16384 is"),
        (("one.yaml", "--accumulate", "128"), "head.norm has one value per channel"),
        (("x" * 300 + "/a.yaml",), "File name too long"),
        (("small.yaml", "--weights", "runs"), "pass a file, or a folder that nin-spec train wrote"),
        (("small.yaml", "--data", "nowhere"), "nowhere: it does not exist"),
        (("small.yaml", "--set", "train.dataset=cifar10", "--data", "."), "contains neither data_batch_1.bin"),
        (("small.yaml", "--set", "classes=9"), "has 10 classes"),
        (("tiny.yaml", "--resume"), "tiny.yaml"),
        (("tiny_digits", "--resume"), "tiny_digits"),
        (("nin_digits", "--resume"), "no run of nin_digits"),
    ],
)
@pytest.mark.usefixtures("small")
def test_what_makes_no_sense_is_refused_with_exit_code_2(
    nin_spec: Command, arguments: tuple[str, ...], words: str
) -> None:
    Path("one.yaml").write_text(SMALL.replace("head: {pool: global_avg}", ONE_BY_ONE))
    nin_spec("train", "small.yaml", "--threads", "1")
    done = nin_spec("train", *arguments)
    assert done.code == 2, done.out
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("option", [("--set", "name=other"), ("--input", "3x8x8")])
def test_a_run_is_exported_as_it_was_trained(nin_spec: Command, option: tuple[str, str]) -> None:
    nin_spec("train", "small.yaml", "--threads", "1", "-o", "run")
    done = nin_spec("export", "run", "--onnx", *option)
    assert done.code == 2
    assert "whose spec can't be changed" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("small.yaml", "--set", "train.epoch=3"),
        ("small.yaml", "-o", "."),
        ("small.yaml", "--data", "nowhere"),
        ("small.yaml", "--set", "train.dataset=digit"),
        ("small.yaml", "--weights", "nowhere"),
    ],
)
@pytest.mark.usefixtures("small")
def test_what_is_refused_quickly_is_refused_before_torch_is_loaded(arguments: tuple[str, ...]) -> None:
    code = (
        f"import sys; from nin_spec.cli import execute; assert execute(['train', *{arguments!r}]) == 2;"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("small")
def test_a_folder_that_is_not_a_run_is_not_said_to_continue(nin_spec: Command) -> None:
    done = nin_spec("train", "small.yaml", "-o", ".")
    assert "--resume" not in done.err
    assert "pass another --output" in done.err


@pytest.mark.usefixtures("small")
def test_with_validation_the_summary_is_of_the_result(nin_spec: Command) -> None:
    """The best epoch, by number and score; what nothing was chosen by is still to be measured."""
    given = ("--set", "train.validation=0.2", "--set", "train.epochs=3")
    done = nin_spec("train", "small.yaml", "-o", "run", "--threads", "1", *given)
    assert done.code == 0, done.err
    record = json.loads(Path("run/run.json").read_text())
    best = record["best"]
    assert f"accuracy {best['validation_accuracy']:.2%} of 288 digits pictures (validation)" in done.out
    assert f"after epoch {best['epoch']}, the best of 3" in done.out
    assert f"best.safetensors, the weights of {record['chosen']};" in done.out
    assert "the test split was not used" in done.err


@pytest.mark.usefixtures("small")
def test_a_finished_run_says_how_to_train_it_longer_and_that_works(nin_spec: Command) -> None:
    nin_spec("train", "small.yaml", "--threads", "1", "-o", "run")
    done = nin_spec("train", "run", "--resume")
    assert done.code == 0
    hint = "nin-spec train run/spec.yaml --weights run --set train.epochs=N"
    assert f"run is finished; to train it longer: {hint}" in done.err
    longer = nin_spec(*hint.replace("N", "2").split()[1:], "-o", "longer", "--threads", "1")
    assert longer.code == 0, longer.err
    assert f"weights of {Path('run').resolve()}/last.safetensors: 20 tensors carried" in longer.err


@pytest.mark.usefixtures("small")
def test_weights_under_another_head(nin_spec: Command) -> None:
    """A table of what is carried; begun again, the same words need no source."""
    nin_spec("train", "small.yaml", "--threads", "1", "-o", "run")
    words = ["train", "small.yaml", "--threads", "1", "--from", "run", "--new-head", "-o", "dense", "--resume"]
    words += ["--set", "head.dense=[20, classes]", "--set", "blocks.1.convs.1.channels=12"]
    done = nin_spec(*words, "--set", "blocks.1.convs.1.activation=relu")
    assert done.code == 2
    assert "blocks.1.convs.1.weight has the shape 10x12x1x1, in the spec 12x12x1x1" in done.err
    words = words[:-2]
    done = nin_spec(*words)
    assert done.code == 0, done.err
    assert "last.safetensors, under a new head:\n  layer" in done.err
    assert re.search(r"^  head\.dense\.1 +- +weight, bias$", done.err, re.MULTILINE)
    assert re.search(r"^  blocks\.1\.convs\.1 +weight, bias +-$", done.err, re.MULTILINE)
    shutil.rmtree("run")
    again = nin_spec(*words)
    assert again.code == 0, again.err
    assert "resumed after step 11" in again.err
    other = nin_spec(*words[:4], "--from", "other", *words[6:])
    assert other.code == 2
    assert "other can't be used: it does not exist" in other.err


@pytest.mark.usefixtures("small")
def test_a_run_is_taken_wherever_weights_are(nin_spec: Command) -> None:
    """Its result, and which file that is."""
    nin_spec("train", "small.yaml", "--threads", "1", "-o", "run")
    assert nin_spec("evaluate", "run").code == 0
    for command in (
        ("build", "small.yaml", "-o", "w.safetensors"),
        ("export", "small.yaml", "--onnx"),
        ("evaluate", "small.yaml"),
    ):
        done = nin_spec(*command, "--weights", "run")
        assert done.code == 0, done.err
        assert "tensors from run/last.safetensors" in done.err
    Path("run/last.safetensors").unlink()
    done = nin_spec("build", "small.yaml", "-o", "w.safetensors", "--weights", "run")
    assert done.code == 2
    assert "nin-spec train run --resume" in done.err


def test_the_help_says_what_may_be_changed_when_resuming(nin_spec: Command) -> None:
    text = " ".join(nin_spec("train", "--help").out.split())
    assert "Only --data may be changed when resuming" in text


@pytest.mark.parametrize("lines", [1, 0])
def test_training_continues_when_nobody_reads_it(small: Path, lines: int) -> None:
    """`nin-spec train ... | head`: a line that can't be printed costs no training."""
    command = ["train", "small.yaml", "--set", "train.epochs=3", "--threads", "1", "-o", "run"]
    process = warm.Running(command, small, env=os.environ)
    with process.stdout as pipe:
        read = [pipe.readline() for _ in range(lines)]
    process.communicate(300)
    assert [line[:5] for line in read] == ["epoch"] * lines
    assert json.loads(Path("run/run.json").read_text())["status"] == "finished"
