"""The first lines of the command line: interrupted at any moment it ends with a message, never in a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

AT = """
import builtins, os, signal, sys
real, left = builtins.__import__, int(sys.argv.pop(1))
def interrupting(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments, **named)
builtins.__import__ = interrupting
from nin_spec.start import start
start()
"""
"""Runs a command, and presses Ctrl-C at its Nth import."""


def run(*arguments: str, flags: Sequence[str] = (), cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python with these arguments."""
    done = [sys.executable, *flags, *arguments]
    return subprocess.run(done, capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ})


@pytest.mark.parametrize("at", [100, 150, 400, 900, 1500])
def test_ctrl_c_at_any_import(at: int) -> None:
    """A message and 130, wherever it falls while the command is loaded; or the command was done before."""
    done = run("-c", AT, str(at), "build", "nin_digits")
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stderr) in [(130, "interrupted\n"), (130, "\ninterrupted\n"), (0, "")]


def test_ctrl_c_is_tried_before_the_command() -> None:
    """The test above interrupts what it says."""
    assert run("-c", AT, "100", "build", "nin_digits").returncode == 130


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """As under nohup."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + AT
    done = run("-c", code, "400", "build", "nin_digits")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_has_the_usual_ctrl_c() -> None:
    """It has work of its own to undo: the exception comes back when it begins."""
    from nin_spec import start

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, start._leave)
        start.begin()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        start.begin()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_installed_command_starts_here() -> None:
    """Not in a module whose imports come first."""
    assert 'nin-spec = "nin_spec.start:start"' in (ROOT / "pyproject.toml").read_text()
    lines = (ROOT / "nin_spec" / "start.py").read_text().splitlines()
    assert not [line for line in lines if line.startswith("from nin_spec")]


@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        (["--help"], "-OO"),
        (["export", "--help"], "-OO"),
        (["schema"], '"$schema"'),
        (["schema", "--format", "markdown"], "blocks"),
        (["build", "nin_digits"], "semantic hash"),
        (["check", "nin_digits"], "nin_digits: ok"),
        (["export", "nin_digits", "--onnx", "--no-parity"], "wrote nin_digits.onnx"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_python_without_docstrings(arguments: list[str], shows: str, tmp_path: Path) -> None:
    """-OO: every command works, and the help says why it is short."""
    done = run("-m", "nin_spec", *arguments, flags=["-OO"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout
