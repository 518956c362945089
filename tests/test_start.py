"""The first lines of the command line: interrupted at any moment it ends with a message, never in a traceback."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from nin_spec import interrupts

ROOT = Path(__file__).resolve().parent.parent

AT = """
import os, signal, sys
from nin_spec.start import start
every, folder = int(sys.argv.pop(1)), sys.argv.pop(1)

class Interrupting:
    seen = 0

    def find_spec(self, name, path=None, target=None):
        Interrupting.seen += 1
        if self.seen % every:
            return None
        if child := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with open(f"{folder}/codes", "a") as codes:
                print(self.seen, name, code, file=codes)
            return None
        sys.meta_path.remove(self)
        os.mkdir(f"{folder}/{self.seen}")
        os.chdir(f"{folder}/{self.seen}")
        said = os.open("said", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 2)
        os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Interrupting())
start()
"""
"""Runs a command. At every Nth module that it loads, a copy of the process is interrupted by Ctrl-C."""


def run(*arguments: str, flags: Sequence[str] = (), cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python with these arguments."""
    done = [sys.executable, *flags, *arguments]
    return subprocess.run(done, capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are copied by fork")
@pytest.mark.parametrize(
    "arguments",
    [["build", "nin_digits"], ["check", "nin_digits"], ["export", "nin_digits", "--onnx", "--no-parity"]],
    ids=lambda arguments: arguments[0],
)
def test_ctrl_c_at_any_import(arguments: list[str], tmp_path: Path) -> None:
    """A message and 130, wherever it falls: while the command is loaded, and in what it imports later."""
    # A shell starts what runs in its background with Ctrl-C ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + AT
    assert run("-c", code, "9", str(tmp_path), *arguments, cwd=tmp_path).returncode == 0
    codes = [line.split() for line in (tmp_path / "codes").read_text().splitlines()]
    ended = {f"{at} {name}": (int(code), (tmp_path / at / "said").read_text()) for at, name, code in codes}
    assert len(ended) > 20
    assert not {at: how for at, how in ended.items() if how[0] != 130 or not how[1].endswith("interrupted\n")}
    assert not {at: said for at, (_, said) in ended.items() if "Traceback" in said or "panicked" in said}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are copied by fork")
def test_an_ignored_ctrl_c_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + AT
    assert run("-c", code, "60", str(tmp_path), "build", "nin_digits").returncode == 0
    codes = [line.split() for line in (tmp_path / "codes").read_text().splitlines()]
    assert len(codes) > 2
    assert {(code, (tmp_path / at / "said").read_text()) for at, _, code in codes} == {("0", "")}


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts the handlers of this process back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_command_has_the_usual_ctrl_c() -> None:
    """It has work of its own to undo: the exception comes back when it begins."""
    with handlers_kept():
        signal.signal(signal.SIGINT, interrupts._leave)
        interrupts.begin()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupts.begin()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def importing(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Imports a module of this text, with the handlers of a command."""
    (folder / "interrupted_module.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "interrupted_module", raising=False)
    signal.signal(signal.SIGINT, interrupts._leave)
    interrupts.begin()
    importlib.import_module("interrupted_module")


def test_ctrl_c_waits_for_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is delivered after it, to the handler that is there by then."""
    heard: list[int] = []
    with handlers_kept():
        importing(tmp_path, monkeypatch, "import signal\nsignal.raise_signal(signal.SIGINT)\n")
        signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
        while not heard:
            pass
        interrupts.end()
    assert heard == [signal.SIGINT]
    assert "interrupted_module" in sys.modules


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module may run for long, or without end."""
    with handlers_kept(), pytest.raises(KeyboardInterrupt):
        importing(tmp_path, monkeypatch, "import signal\nwhile True:\n    signal.raise_signal(signal.SIGINT)\n")


def test_a_ctrl_c_that_waits_is_dropped_with_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is done, and nobody would catch the exception."""
    with handlers_kept():
        text = "import signal\nfrom nin_spec import interrupts\nsignal.raise_signal(signal.SIGINT)\ninterrupts.end()\n"
        importing(tmp_path, monkeypatch, text)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        signal.raise_signal(signal.SIGALRM)  # one that was on its way


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
