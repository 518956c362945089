"""nin-spec check: every error of every spec, in three forms."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nin_spec.cli import group
from nin_spec.cli.check import annotation
from nin_spec.diagnostics import Code, Diagnostic, Source, Span

Run = Callable[..., Any]

BROKEN = """\
spec: 1
name: broken
input: {channels: 3, size: 32}
classes: 10
blocks:
  - {channels: [8], kernal: 3, kernel: "3"}
"""


@pytest.fixture(autouse=True)
def specs(folder: Path) -> Path:
    """A broken spec beside the sound one."""
    (folder / "broken.yaml").write_text(BROKEN)
    return folder


def test_sound_specs_are_ok(nin_spec: Run) -> None:
    """One line each, exit 0; files and shipped names alike."""
    done = nin_spec("check", "tiny.yaml", "nin_cifar")
    assert (done.code, done.out, done.err) == (0, "tiny.yaml: ok\nnin_cifar: ok\n", "")


@pytest.mark.floors
def test_every_error_of_every_spec_is_reported(nin_spec: Run) -> None:
    """A broken spec does not keep the others from being checked."""
    done = nin_spec("check", "missing.yaml", "broken.yaml", "tiny.yaml")
    assert done.code == 2
    assert "NIN001" in done.out
    assert "broken.yaml:6:21: error NIN201: blocks.0: unknown key 'kernal'" in done.out
    assert "broken.yaml:6:40: error NIN203: blocks.0.kernel" in done.out
    assert done.out.endswith("tiny.yaml: ok\n")


def test_json_is_machine_readable(nin_spec: Run) -> None:
    """A list of findings with their place; an empty one when all is well."""
    findings = json.loads(nin_spec("check", "broken.yaml", "tiny.yaml", "--format", "json").out)
    assert [(f["code"], f["file"], f["line"], f["column"]) for f in findings] == [
        ("NIN201", "broken.yaml", 6, 21),
        ("NIN203", "broken.yaml", 6, 40),
    ]
    assert findings[0]["hint"] == "did you mean 'kernel'?"
    assert json.loads(nin_spec("check", "tiny.yaml", "--format", "json").out) == []


def test_github_annotations(nin_spec: Run) -> None:
    """One workflow command a finding."""
    done = nin_spec("check", "broken.yaml", "--format", "github")
    assert done.code == 2
    assert done.out.splitlines()[0] == (
        "::error file=broken.yaml,line=6,col=21,title=NIN201::blocks.0: unknown key 'kernal'%0Adid you mean 'kernel'?"
    )


def test_github_annotations_are_escaped() -> None:
    """A file name or a message can't begin another command."""
    span = Span(Source("a,b:c\n::error::%.yaml", ""), 1, 1)
    text = annotation(Diagnostic(Code.UNKNOWN_KEY, "50%\r\n::error::x", span))
    assert text == (
        "::error file=a%2Cb%3Ac%0A%3A%3Aerror%3A%3A%25.yaml,line=1,col=1,title=NIN201::50%25%0D%0A::error::x"
    )


def test_overrides_are_checked(nin_spec: Run) -> None:
    """--set applies to every spec given."""
    assert nin_spec("check", "tiny.yaml", "nin_cifar", "--set", "input.size=64").code == 0
    done = nin_spec("check", "tiny.yaml", "nin_cifar", "--set", "input.sise=64")
    assert done.out.count("unknown key 'sise'") == 2


def test_standard_input() -> None:
    """`-` reads a spec from standard input, and its errors say so."""
    done = CliRunner().invoke(group, ["check", "-"], input=BROKEN, standalone_mode=False)
    assert "<stdin>:6:21: error NIN201" in done.output
    assert done.return_value == 2


def test_a_closed_standard_input_is_refused() -> None:
    """`nin-spec check - <&-` gives a diagnostic."""
    command = f'{sys.executable} -c \'from nin_spec.cli import main; main(["check", "-"])\' <&-'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "standard input is closed" in done.stdout
    assert done.stderr == ""


def test_names_that_no_terminal_can_print(folder: Path) -> None:
    """A file name of bytes that are no text is checked like any other."""
    name = b"caf\xe9.yaml".decode("utf-8", "surrogateescape")
    (folder / name).write_text(BROKEN)
    script = "import sys; from nin_spec.cli import main; main(['check', *sys.argv[1:]])"
    done = subprocess.run([sys.executable, "-c", script, name, "tiny.yaml"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"NIN201" in done.stdout
    (folder / name).write_text((folder / "tiny.yaml").read_text())
    done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", [["check"], ["chek", "tiny.yaml"], ["check", "--formt", "json", "tiny.yaml"], []])
def test_usage_errors(arguments: list[str], nin_spec: Run) -> None:
    """Exit 2 with the usage, no traceback; a misspelt command is named."""
    done = nin_spec(*arguments)
    assert done.code == 2
    assert "Usage" in done.err
    assert arguments[:1] != ["chek"] or "did you mean 'check'?" in done.err


def test_a_control_character_never_reaches_the_terminal(nin_spec: Run, folder: Path) -> None:
    """Escape sequences in a spec are shown as replacement characters."""
    (folder / "escape.yaml").write_text(BROKEN.replace("kernal", '"\\e[31m"'))
    out = io.StringIO(nin_spec("check", "escape.yaml").out).read()
    assert "\x1b" not in out
