"""The README says what is so: its commands run, its examples hold."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from urllib.request import urlopen

import pytest
from foreign_clients import run_client

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
    """A folder with the README's specs, a broken copy, a Caffe net, a photograph, and photographs by class."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("readme")
    for text in (text for kind, text in BLOCKS if kind == "yaml"):
        name = text.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(text)
    tiny = (folder / "tiny.yaml").read_text()
    (folder / "broken.yaml").write_text(tiny.removeprefix("# tiny.yaml\n").replace("kernel: 5", "kernal: 5"))
    Image.effect_mandelbrot((320, 240), (-2, -1.2, 1, 1.2), 60).convert("RGB").save(folder / "photo.jpg")
    caffe = ROOT / "tests" / "importers" / "caffe" / "nin_cifar10_train_val.prototxt"
    shutil.copy(caffe, folder / "train_val.prototxt")
    for part, name, number in product(("train", "test"), ("cat", "dog"), range(6)):
        place = folder / "photos" / part / name
        place.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 32), 20 + 40 * (name == "dog")).convert("RGB").save(place / f"{number}.jpg")
    return folder


@contextmanager
def served(command: str, folder: Path) -> Iterator[int]:
    """A server of the README, on a free port of ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    arguments = [*NIN_SPEC, *shlex.split(command)[1:], "--port", str(port)]
    process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        assert process.wait(60) == 0, command


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
        elsewhere = command.startswith(("nin-spec serve", "nin-spec studio"))  # the tests below
        if command.split()[0] in {"make", "pip", "source", "curl"} or elsewhere:
            continue
        done = run(command, folder)
        expected = 2 if "broken" in command else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        ran += 1
    assert ran >= 10


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_served_network_names_the_digit(folder: Path) -> None:
    """What the commands before have exported, served, and asked with curl."""
    (server,) = (command for command in COMMANDS if command.startswith("nin-spec serve"))
    (client,) = (command for command in COMMANDS if command.startswith("curl"))
    with served(server, folder) as port:
        arguments = shlex.split(client.replace("localhost:8000", f"127.0.0.1:{port}"))
        done = subprocess.run([str(shutil.which("curl")), *arguments[1:]], cwd=folder, capture_output=True, check=True)
    best = json.loads(done.stdout)["predictions"][0]
    assert (best["rank"], best["index"], best["label"]) == (1, 5, "5")


def test_the_served_network_answers_tritonclient(folder: Path) -> None:
    """The README's client as it stands, where tritonclient is installed; it may share no process with ours."""
    (server,) = (command for command in COMMANDS if command.startswith("nin-spec serve"))
    (client,) = (text for kind, text in BLOCKS if kind == "python" and "tritonclient" in text)
    with served(server, folder) as port:
        (folder / "client.py").write_text(client.replace("localhost:8000", f"127.0.0.1:{port}"))
        answer = run_client(f"exec(open({str(folder / 'client.py')!r}).read())", folder=folder)
    assert re.fullmatch(r"\[\[?b?'[\d.]+:5:5'\]?\]", answer.strip()), answer


def test_the_studio_opens(folder: Path) -> None:
    """Told to open no browser, it says where it listens, and ends with Ctrl-C."""
    (command,) = (command for command in COMMANDS if command.startswith("nin-spec studio"))
    arguments = [*NIN_SPEC, *shlex.split(command)[1:], "--no-browser"]
    process = subprocess.Popen(arguments, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr as said:
        assert said.readline().startswith("studio on http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in {0, 130}
        assert "Traceback" not in said.read()


@pytest.mark.parametrize("command", ["nin-spec check broken.yaml", "nin-spec check tiny.yaml"])
def test_what_check_says_reads_as_shown(folder: Path, command: str) -> None:
    """The error and the warnings in the README are what `check` prints."""
    shown = next(text for kind, text in BLOCKS if kind == "console" and text.startswith(f"$ {command}\n"))
    _, _, expected = shown.partition("\n")
    assert run(command, folder).stdout.strip() == expected.strip()


def test_the_comparison_reads_as_shown(folder: Path) -> None:
    """What `diff` prints of the imported network and the edited one, whose spec the commands before have written."""
    shown = next(text for kind, text in BLOCKS if kind == "console" and text.startswith("$ nin-spec diff imported"))
    expected = "\n".join(line for line in shown.splitlines() if not line.startswith("$ "))
    assert run("nin-spec diff imported.yaml served.yaml", folder).stdout.strip() == expected.strip()


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
    assert (folder / "from_python.onnx").is_file()
    assert names["network"].table.parameters == 966_986  # type: ignore[attr-defined]


def test_every_make_target_is_in_help() -> None:
    """Each target of the README is one that `make help` shows."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\$ make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target


def test_every_command_and_option_is_documented() -> None:
    """Each command has help, each option says what it does or is one of two self-explaining ones."""
    import click

    from nin_spec.cli import group
    from nin_spec.cli.commands import COMMANDS as COMMAND_HOMES

    context = click.Context(group)
    for name in COMMAND_HOMES:
        command = group.get_command(context, name)
        assert command is not None
        assert command.help
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or option.name in {"form", "device"}, (name, option.name)
