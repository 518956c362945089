"""What a training finds wrong names the user's own file and line, also where the data set brought the labels."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_parts import Memory

import nin_spec
from nin_spec.cli import execute
from nin_spec.diagnostics import DataError, NinSpecError
from nin_spec.training.begin import resume, train, with_labels
from nin_spec.training.reporter import Silent
from nin_spec.training.settings import TrainSettings

NORMS = """\
spec: 1
name: bn1
input: {channels: 1, size: 8}
classes: 2
defaults: {norm: batch, bias: false}
blocks:
  - {channels: [8], kernel: 3, padding: 1, pool: global_avg}
  - {convs: [8, {channels: classes, activation: none, norm: none}], kernel: 1}
train: {dataset: photos, epochs: 1, batch_size: 1, optimizer: {kind: sgd, lr: 0.01}}
"""
DEAD = """\
spec: 1
name: dead
input: {channels: 1, size: 8}
classes: 10
blocks:
  - channels: [16, classes]
    kernel: 3
    init: {kind: gaussian, std: 0.000001, bias: -1}
train: {dataset: digits, epochs: 2, batch_size: 512, optimizer: {kind: sgd, lr: 0.000001}}
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pictures of two classes, in a folder beside the working folder's files."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(6):
            Image.new("L", (8, 8), 40 * k).save(tmp_path / "photos" / name / f"{k}.png")
    return tmp_path / "photos"


class Listener(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def logged(self, message: str) -> None:
        self.heard.append(message)


def place(error: NinSpecError) -> str:
    """Of its first diagnostic, which must show a line that its text has."""
    span = error.diagnostics[0].span
    assert span is not None
    assert span.source.line(span.line)
    return str(span)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (NORMS, "mine.yaml:5:18"),
        (NORMS.replace("channels: 1,", "channels: 2,"), "mine.yaml:3:19"),
        (NORMS.replace("batch_size: 1,", "batch_size: 4, validation: 0.001,"), "mine.yaml:9:64"),
    ],
)
def test_the_user_s_own_line_is_named(photos: Path, text: str, where: str) -> None:
    """Not a line of the resolved spec, which nobody has seen; the same with the labels listed."""
    for version in (text, text.replace("classes: 2", "classes: [cat, dog]")):
        Path("mine.yaml").write_text(version)
        with pytest.raises(NinSpecError) as caught:
            train(nin_spec.compile("mine.yaml"), data=photos, output="run", settings=TrainSettings(threads=1))
        assert place(caught.value) == where
        assert not Path("run").exists()


def test_standard_input_is_named_too(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As <stdin>, with the line as it came."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NORMS.encode())))
    assert execute(["train", "-", "--data", str(photos), "-o", "run"]) == 2
    assert "<stdin>:5:18" in capsys.readouterr().err


def test_a_family_and_an_override_are_named(photos: Path) -> None:
    """The file that has the norm, or the override that sets it."""
    Path("base.yaml").write_text(NORMS)
    Path("mine.yaml").write_text("extends: base.yaml\nname: mine\n")
    for overrides, where in (([], "base.yaml:5:18"), (["defaults.norm=batch"], "--set:1:15")):
        with pytest.raises(NinSpecError) as caught:
            train(nin_spec.compile("mine.yaml", overrides), data=photos, output="run")
        assert place(caught.value) == where


def test_a_dead_relu_is_reported_at_its_line_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the run resumes from its own spec.yaml, which has other lines."""
    monkeypatch.chdir(tmp_path)
    Path("dead.yaml").write_text(DEAD)
    first, second = Listener(), Listener()
    monkeypatch.setattr("nin_spec.training.guard.LOOK_AT", frozenset({1, 4}))
    monkeypatch.setattr("nin_spec.training.loop.LOOK_AT", frozenset({1, 4}))
    done = iter([False, True])
    settings = TrainSettings(threads=1)
    network = nin_spec.compile("dead.yaml")
    run = train(network, output="run", settings=settings, reporter=first, stop=lambda: next(done))
    assert any("(dead.yaml line 6)" in said or "(dead.yaml line 7)" in said for said in first.heard), first.heard
    assert run.record.status == "interrupted"
    resume(run.path, reporter=second)
    assert [said for said in second.heard if "never fire" in said or "dead for" in said] == []


def test_class_names_that_no_spec_can_hold_are_refused() -> None:
    """With the place of the number that they would replace."""
    network = nin_spec.compile(nin_spec.loads(NORMS, "mine.yaml"))
    split = Memory(np.zeros((2, 8, 8, 1), np.uint8), np.arange(2), ("a" * 250, "b"))
    with pytest.raises(DataError, match="are not valid labels") as caught:
        with_labels(network, split)
    assert str(caught.value.diagnostics[0].span) == "mine.yaml:4:10"
