"""nin-spec diff: layers side by side, and whether the function is the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Outcome

Run = Callable[..., Outcome]


def test_networks_that_differ(nin_spec: Run) -> None:
    """The author's second pool is a maximum: one layer changed, nothing else."""
    outcome = nin_spec("diff", "nin_cifar", "nin_cifar_author")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[2].startswith("two functions: nin1:")
    assert [line.split()[:3] for line in lines if line.startswith(("- ", "+ ", "~ ", "> "))][2:] == [
        ["-", "blocks.1.pool", "AvgPool2d"],
        ["+", "blocks.1.pool", "MaxPool2d"],
    ]
    assert nin_spec("diff", "nin_cifar", "nin_cifar_author", "--exit-code").code == 1


def test_two_spellings_of_one_function(nin_spec: Run, tmp_path: Path) -> None:
    """The text differs, the function does not."""
    other = tmp_path / "other.yaml"
    first = tmp_path / "first.yaml"
    first.write_text(TINY)
    other.write_text(TINY.replace("name: tiny", "name: other").replace("dropout: 0.5", "dropout: 0.25"))
    outcome = nin_spec("diff", str(first), str(other), "--exit-code")
    assert outcome.code == 0
    assert "the same function (nin1:" in outcome.out
    assert '  name: "tiny" -> "other"' in outcome.out
    assert "~  blocks.0.dropout" in outcome.out
    assert "the same network, written the same way" in nin_spec("diff", str(first), str(first)).out


def test_what_follows_from_a_change_is_distinguished(nin_spec: Run, tmp_path: Path) -> None:
    """A wider first convolution changes the parameters of the second, which is itself the same."""
    first, wider = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(TINY)
    wider.write_text(TINY.replace("channels: [8, 4]", "channels: [16, 4]"))
    found = json.loads(nin_spec("diff", str(first), str(wider), "--format", "json").out)
    kinds = {(c["after"] or c["before"])["name"]: c["kind"] for c in found["layers"]}
    assert kinds["blocks.0.convs.0"] == "changed"
    assert kinds["blocks.0.convs.1"] == "same"
    text = nin_spec("diff", str(first), str(wider)).out
    assert any(line.startswith(">") and "blocks.0.convs.1" in line for line in text.splitlines())
    assert found["after"]["parameters"] > found["before"]["parameters"]
    assert {"path": "blocks.0.convs.0.channels", "before": 8, "after": 16} in found["values"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_revisions_of_git(nin_spec: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as it was, with the file beside it that it extends."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "base.yaml").write_text(TINY)
    (folder / "mine.yaml").write_text("spec: 1\nextends: base.yaml\nname: mine\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run([str(shutil.which("git")), *identity, *command], check=True)
    (folder / "base.yaml").write_text(TINY.replace("kernel: [3, 5]", "kernel: [5, 5]"))
    outcome = nin_spec("diff", "HEAD:specs/mine.yaml", "specs/mine.yaml")
    assert outcome.code == 0, outcome.err
    assert "~  blocks.0.convs.0" in outcome.out
    for wrong in ("nope:specs/mine.yaml", "HEAD:specs/gone.yaml", "--output=x:specs/mine.yaml"):
        outcome = nin_spec("diff", "--", wrong, "specs/mine.yaml")
        assert outcome.code == 2
        assert "NIN001" in outcome.err
