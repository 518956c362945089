"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nin_spec.cli import execute

TINY = """\
# A spec small enough to read its tables.
spec: 1
name: tiny
summary: Two blocks.
input: {channels: 3, size: [12, 16]}
classes: [cat, "dog, wolf"]
defaults: {norm: batch}   # nin: ignore[NIN908] biases, too
blocks:
  - name: stem
    channels: [8, 4]
    kernel: [3, 5]
    stride: 2
    padding: same
    pool: {kind: avg, kernel: 3, stride: 2, padding: 1, count_include_pad: true, ceil_mode: true}
    dropout: 0.5
  - shuffle: 2
    activation: prelu
  - convs: [{channels: classes, groups: 2, bias: false, norm: none, activation: none}]   # nin: ignore[NIN907]
    kernel: 1
head: {output: softmax}
"""

SWEEP = """\
sweep: 1
base: nin_digits
set: {train.validation: 0.5, train.epochs: 1}
space:
  blocks.mlpconv1.channels: [[8], [8, 8], [16]]
trials: 1
"""
"""Three small networks, of which one is trained."""


@dataclass(frozen=True)
class Outcome:
    """The exit code of a command, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def nin_spec(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command in this process."""

    def run(*arguments: str) -> Outcome:
        code = execute(list(arguments))
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `tiny.yaml`."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path
