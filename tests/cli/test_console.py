"""What is printed can't drive a terminal, and bars are drawn only where there is room for them."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import warm
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.cli.console import Escaped

HOSTILE = "\x1b]0;x\x07\x9b31m\u202ecod\u2066\x85\udce9\r\u2028"


def escaped(text: str, encoding: str = "utf-8") -> str:
    """What such a stream writes."""
    data = io.BytesIO()
    stream = Escaped(io.TextIOWrapper(data, encoding))
    stream.write(text)
    stream.flush()
    return data.getvalue().decode(encoding)


@given(st.text(), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
def test_any_text_can_be_written(text: str, encoding: str) -> None:
    """To any terminal, as what it can show, its lines as they are; JSON stays the same JSON."""
    assert escaped(text, encoding).count("\n") == text.count("\n")
    assert json.loads(escaped(json.dumps([text], ensure_ascii=False), encoding)) == [text.replace("\t", "\t")]


def test_nothing_drives_the_terminal() -> None:
    """Neither controls, the eight-bit ones too, nor marks of direction."""
    assert escaped(HOSTILE) == r"\u001b]0;x\u0007\u009b31m\u202ecod\u2066\u0085\udce9\u000d\u2028"
    assert escaped("ж日é\n", "ascii") == "\\u0436\\u65e5\\u00e9\n"
    assert escaped("\U000e0041") == r"\udb40\udc41"


def command(*arguments: str, cwd: Path, **variables: str) -> Outcome:
    """A command in a process of its own, its output as bytes of UTF-8; a locale is read as Python starts."""
    if not variables:
        plain = warm.run(arguments, cwd)
        return Outcome(plain.returncode, plain.stdout, plain.stderr)
    run = [sys.executable, "-m", "nin_spec", *arguments]
    done = subprocess.run(run, cwd=cwd, capture_output=True, check=False, env={**os.environ, **variables})
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and an input under names that are not UTF-8, and drive terminals."""
    folder = tmp_path_factory.mktemp("odd")
    done = command("export", "nin_digits", "--no-parity", "--onnx", MODEL, cwd=folder)
    assert done.code == 0, done.err
    np.save(folder / ARRAY, np.zeros((1, 8, 8), "f4"))
    return folder


MODEL = os.fsdecode(b"caf\xe9\x1b[31m.onnx")
ARRAY = os.fsdecode(b"x\xff\n\xc2\x9b.npy")
SPEC = os.fsdecode(b"s\xe9\nblocks: [].yaml")
LOCALES = pytest.mark.parametrize("variables", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=["utf8", "C"])


@LOCALES
def test_names_that_are_not_utf8(odd: Path, variables: dict[str, str]) -> None:
    """Models, pictures, specs and weights are read and written under any name; what is printed is escaped."""
    for arguments, code in [
        (["run", MODEL, ARRAY, "--top", "1"], 0),
        (["run", MODEL, ARRAY, "--format", "json"], 0),
        (["import", MODEL, "-o", SPEC, "--weights", "w.safetensors"], 0),
        (["show", SPEC], 0),
        (["check", SPEC, os.fsdecode(b"no\xe9.yaml")], 2),
        (["build", SPEC, "--weights", "w.safetensors", "-o", os.fsdecode(b"v\xe9.safetensors")], 0),
        (["export", SPEC, "--report", os.fsdecode(b"p\xe9.html"), "--source", os.fsdecode(b"p\xe9.py")], 0),
    ]:
        done = command(*arguments, cwd=odd, **variables)
        assert done.code == code, done.err
        assert "Traceback" not in done.err
        assert not {c for c in done.out + done.err if not c.isprintable()} - {"\n"}
        if "json" in arguments:
            assert json.loads(done.out)["predictions"][0]["file"].startswith("x")
    assert (odd / SPEC).read_text().count("\nblocks:") == 1


@LOCALES
def test_our_own_texts_in_any_locale(tmp_path: Path, variables: dict[str, str]) -> None:
    """Help, the reference and a table."""
    for arguments in (["--help"], ["schema", "--format", "markdown"], ["build", "nin_digits", "--by", "stage"]):
        done = command(*arguments, cwd=tmp_path, **variables)
        assert (done.code, done.err) == (0, "")


# ------------------------------------------------------------------ terminals


def on_terminal(columns: int, *arguments: str, cwd: Path) -> str:
    """What a command writes to a terminal of that many columns as its standard error."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    run = [sys.executable, "-m", "nin_spec", *arguments]
    with subprocess.Popen(run, cwd=cwd, stdout=subprocess.DEVNULL, stderr=follower) as process:
        os.close(follower)
        found = b""
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            found += part
        os.close(leader)
        assert process.wait() == 0
    return found.decode()


def test_a_terminal_of_no_columns_is_treated_like_a_pipe(tmp_path: Path) -> None:
    """Lines, and no bar that is drawn over and over; one of 80 columns has the bar."""
    (tmp_path / "net.yaml").write_text("spec: 1\nextends: nin_digits\ntrain: {epochs: 1}\n")
    asked = ["data", "check", "digits"]
    assert "\r" in on_terminal(80, *asked, cwd=tmp_path).replace("\r\n", "\n")
    assert on_terminal(0, *asked, cwd=tmp_path) == ""
