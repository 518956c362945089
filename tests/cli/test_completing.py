"""The shell completes names, devices, codes and targets, and waits for neither torch nor onnxruntime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import CompletionItem, ShellComplete

from nin_spec.cli import group
from nin_spec.cli.commands import COMMANDS
from nin_spec.named import shipped_names


def complete(*arguments: str, text: str = "") -> list[CompletionItem[Any]]:
    """What the text can become, after these arguments."""
    return ShellComplete(group, {}, "nin-spec", "_NIN_SPEC_COMPLETE").get_completions(list(arguments), text)


def words(*arguments: str, text: str = "") -> set[str]:
    """The words among them; "FILE" where the shell completes a path."""
    return {"FILE" if item.type == "file" else str(item.value) for item in complete(*arguments, text=text)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file of each kind, and two run folders."""
    for name in ("mine.yaml", "net.onnx", "w.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    for name in ("runs/a", "b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").touch()
    (tmp_path / "runs/empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


NEARBY = {"mine.yaml", "b", str(Path("runs/a"))}


@pytest.mark.parametrize("command", ["build", "check", "show", "diff", "train", "export", "studio"])
def test_a_spec(command: str) -> None:
    """Shipped names, and the specs and run folders nearby; a path is left to the shell."""
    assert words(command) == {*shipped_names(), *NEARBY}
    assert words(command, text="nin_dig") == {"nin_digits"}
    assert words(command, text="../") == {"FILE"}


@pytest.mark.parametrize("command", ["evaluate", "bench"])
def test_a_spec_or_a_model(command: str) -> None:
    """Both kinds."""
    assert words(command) == {*shipped_names(), *NEARBY, "net.onnx"}


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_model(command: str) -> None:
    """No specs: they have no weights."""
    assert words(command) == {"net.onnx", "b", str(Path("runs/a"))}


def test_weights_and_other_tools_files() -> None:
    """By their suffix; without any the shell completes a path."""
    assert words("build", "--weights") == {"w.safetensors", "b", str(Path("runs/a"))}
    assert words("import") == {"net.onnx"}
    assert words("run", "net.onnx") == {"FILE"}


@pytest.mark.parametrize("command", ["run", "evaluate", "bench", "serve", "export"])
def test_devices(command: str) -> None:
    """Those that onnxruntime may have here."""
    assert {"auto", "cpu", "cuda", "tensorrt"} <= words(command, "--device")
    assert words(command, "--device", text="cu") == {"cuda"}


def test_codes() -> None:
    """Each with its meaning; a list continues after its comma, without what it has."""
    assert {"NIN901", "NIN990"} <= words("check", "--select")
    assert "NIN401" not in words("check", "--select")
    assert words("check", "--ignore", text="NIN901,NIN90") == {f"NIN901,NIN90{n}" for n in range(2, 10)}
    (found,) = complete("check", "--explain", text="nin401")
    assert (found.value, found.help) == ("NIN401", "sizes or channels that do not fit together")


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        (("export", "nin_cifar", "--target"), "triton==24.1", {"triton==24.10", "triton==24.11", "triton==24.12"}),
        (("export", "nin_cifar", "--takes"), "", {"normalised", "pixels"}),
        (("export", "nin_cifar", "--without"), "fold_input,fold_b", {"fold_input,fold_batch_norm"}),
        (("export", "nin_cifar", "--runtime-files"), "", {"FILE"}),
        (("export", "nin_cifar", "--compute"), "", {"wasm", "webgpu"}),
        (("export", "nin_cifar"), "--on", {"--onnx"}),
        (("bench", "nin_cifar", "--against"), "bare,torch-c", {"bare,torch-compile"}),
        (("data", "show"), "fash", {"fashion_mnist"}),
        (("evaluate", "net.onnx", "--dataset"), "cifar100", {"cifar100"}),
        (("train", "nin_cifar", "--device"), "", {"auto", "cpu", "cuda"}),
        (("train", "nin_cifar", "--set"), "train.ep", {"train.epochs="}),
        ((), "expo", {"export"}),
        (("data",), "f", {"fetch"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_words(arguments: Sequence[str], text: str, expected: set[str]) -> None:
    """Targets, choices, passes, contenders, data sets, keys of a spec, commands."""
    assert words(*arguments, text=text) == expected


def test_commands_are_completed_with_their_summaries() -> None:
    """As `--help` shows them."""
    assert {item.value for item in complete()} == set(COMMANDS)
    assert all(item.help for item in complete())


def test_no_completion_waits_for_a_heavy_library() -> None:
    """Tab must answer at once."""
    asked = [
        [],
        ["build"],
        ["run", "x", "--device"],
        ["export", "x", "--target"],
        ["check", "--select"],
        ["data", "show"],
    ]
    code = f"""
import json, sys
from click.shell_completion import ShellComplete
from nin_spec.cli import group
found = [len(ShellComplete(group, {{}}, "nin-spec", "X").get_completions(a, "")) for a in {asked!r}]
print(json.dumps([found, [m for m in ("torch", "onnx", "onnxruntime") if m in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, heavy = json.loads(done.stdout)
    assert all(found)
    assert heavy == []


BASH = shutil.which("bash") or ""


@pytest.mark.skipif(not BASH, reason="bash is not installed")
def test_in_bash(tmp_path: Path) -> None:
    """The script that the documentation says to evaluate completes a shipped name."""
    command = tmp_path / "nin-spec"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nin_spec "$@"\n')
    command.chmod(0o755)
    script = """
eval "$(_NIN_SPEC_COMPLETE=bash_source nin-spec)"
COMP_WORDS=(nin-spec build nin_dig); COMP_CWORD=2
_nin_spec_completion nin-spec
echo "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([BASH, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nin_digits"], done.stderr


def test_a_sweep_file_or_folder() -> None:
    """Those nearby."""
    Path("pets.sweep.yaml").touch()
    Path("sweeps/pets").mkdir(parents=True)
    Path("sweeps/pets/sweep.json").touch()
    assert words("sweep") == {"pets.sweep.yaml", str(Path("sweeps/pets"))}
