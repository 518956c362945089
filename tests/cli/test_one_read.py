"""What a command is given is read once: of a run folder, each file at most once."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nin_spec.cli import execute

QUICK = ("--device", "cpu", "--threads", "1")
LITTLE = ("--set", "train.epochs=1", "--limit", "40")

_watched: list[tuple[Path, Counter[str]]] = []
"""The folders that are watched now. An audit hook can't be removed, so that there is one."""


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str | bytes | os.PathLike):
        path = Path.cwd() / os.fsdecode(arguments[0])
        for folder, opens in _watched:
            if path.is_relative_to(folder):
                opens[path.relative_to(folder).as_posix()] += 1


sys.addaudithook(_hear)


@contextmanager
def opens_in(folder: Path) -> Iterator[Counter[str]]:
    """How often each file below a folder is opened meanwhile, in this process."""
    entry = (folder.absolute(), Counter[str]())
    _watched.append(entry)
    try:
        yield entry[1]
    finally:
        _watched.remove(entry)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("read") / "run"
    assert execute(["train", "nin_digits", "-o", str(folder), *LITTLE, *QUICK]) == 0
    return folder


COMMANDS: dict[str, tuple[str, ...]] = {
    "build": ("build", "RUN", "-o", "OUT/w.safetensors"),
    "show": ("show", "RUN"),
    "check": ("check", "RUN"),
    "diff": ("diff", "RUN", "nin_digits"),
    "export": (
        "export",
        "RUN",
        "--onnx",
        "OUT/a.onnx",
        "--diagram",
        "svg",
        "-o",
        "OUT/a.svg",
        "--report",
        "OUT/a.html",
    ),
    "export weights": ("export", "nin_digits", "--onnx", "OUT/b.onnx", "--weights", "RUN"),
    "export float16": ("export", "RUN", "--onnx", "OUT/c.onnx", "--precision", "float16", "--limit", "20"),
    "evaluate": ("evaluate", "RUN", "--limit", "20", *QUICK),
    "evaluate weights": ("evaluate", "nin_digits", "--weights", "RUN", "--limit", "20", *QUICK),
    "run": ("run", "RUN", "OUT/x.npy", *QUICK),
    "bench": ("bench", "RUN", "--seconds", "0.001", "--turns", "1", "--batch", "1", "--no-peak", *QUICK),
    "train weights": ("train", "nin_digits", "--weights", "RUN", "-o", "OUT/run", *LITTLE, *QUICK),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_is_read_once(name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By every command that takes one; and it is read."""
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    words = {"RUN": str(run), "OUT": str(tmp_path)}
    arguments = [word.replace("OUT", words["OUT"]) if word != "RUN" else words["RUN"] for word in COMMANDS[name]]
    with opens_in(run) as opens:
        assert execute(arguments) == 0, capsys.readouterr().err
    assert opens
    assert {file: count for file, count in opens.items() if count > 1} == {}


def test_a_run_is_resumed_from_one_read(run: Path) -> None:
    """And read again at the end, as what the command wrote."""
    with opens_in(run) as opens:
        assert execute(["train", str(run), "--resume"]) == 0
    assert (opens["run.json"], opens["spec.yaml"]) == (2, 2)


def test_the_count_sees_every_open(tmp_path: Path) -> None:
    """What is opened twice is counted twice, and nothing beside the folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("")
    (tmp_path / "y").write_text("")
    with opens_in(tmp_path / "a") as opens:
        for path in ("a/x", "a/x", "y"):
            (tmp_path / path).read_bytes()
    assert opens == {"x": 2}
