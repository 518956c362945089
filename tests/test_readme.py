"""The README says what is so: its commands run, its examples hold."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
    if line.startswith("$ ")
]
NIN_SPEC = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's spec, its broken copy, and a photograph."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("readme")
    for text in (text for kind, text in BLOCKS if kind == "yaml"):
        name = text.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(text)
    tiny = (folder / "tiny.yaml").read_text()
    (folder / "broken.yaml").write_text(tiny.removeprefix("# tiny.yaml\n").replace("kernel: 5", "kernal: 5"))
    Image.effect_mandelbrot((320, 240), (-2, -1.2, 1, 1.2), 60).convert("RGB").save(folder / "photo.jpg")
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of the README, in the folder."""
    script, redirect, target = command.partition(" > ")
    name, *arguments = shlex.split(script)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = {"nin-spec": NIN_SPEC, "python": [sys.executable], "torchrun": launcher}[name]
    done = subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if redirect:
        (folder / target).write_text(done.stdout)
    return done


def test_the_training_example_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, before the commands that run what it exports."""
    monkeypatch.chdir(folder)
    example = next(text for kind, text in BLOCKS if kind == "python" and "optimizer" in text)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 the README's own example
    assert (folder / "trained.onnx").is_file()


def test_every_command_works(folder: Path) -> None:
    """Each nin-spec and python command, in the README's order, ends as it should; make's are run by CI."""
    ran = 0
    for command in COMMANDS:
        if command.split()[0] in {"make", "pip", "source"}:
            continue
        done = run(command, folder)
        expected = 2 if "broken" in command else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        ran += 1
    assert ran >= 10


def test_the_broken_spec_reads_as_shown(folder: Path) -> None:
    """The error in the README is what `check` prints."""
    shown = next(text for kind, text in BLOCKS if kind == "console" and "broken.yaml" in text)
    _, _, expected = shown.partition("\n")
    assert run("nin-spec check broken.yaml", folder).stdout.strip() == expected.strip()


def test_the_table_reads_as_shown(folder: Path) -> None:
    """The table in the README is what `build` prints."""
    shown = next(text for kind, text in BLOCKS if kind == "" and text.startswith("nin_cifar"))
    printed = run("nin-spec build nin_cifar --by stage", folder).stdout
    assert shown.strip() == printed.strip()


def test_the_python_example_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API tour runs as it stands."""
    monkeypatch.chdir(folder)
    example = next(text for kind, text in BLOCKS if kind == "python" and "network.table" in text)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 the README's own example
    assert (folder / "nin_cifar.onnx").is_file()
    assert names["network"].table.parameters == 966_986  # type: ignore[attr-defined]


def test_every_make_target_is_in_help() -> None:
    """Each target of the README is one that `make help` shows."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\$ make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target


def test_every_command_and_option_is_documented() -> None:
    """Each command has help, each option says what it does or is one of two self-explaining ones."""
    import click

    from nin_spec.cli import COMMANDS as COMMAND_HOMES
    from nin_spec.cli import group

    context = click.Context(group)
    for name in COMMAND_HOMES:
        command = group.get_command(context, name)
        assert command is not None
        assert command.help
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or option.name in {"form", "device"}, (name, option.name)
