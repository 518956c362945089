"""What the commands reach beside what they were given: not the network, no file of HOME, no code beside a spec."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import every_command
import pytest
from click import Context, Group
from conftest import SWEEP, TINY
from PIL import Image

from nin_spec import children
from nin_spec.cli import group

NAMESPACE = ("unshare", "--net", "--map-root-user")
TRAPS = ("click", "json", "torch", "numpy", "onnx", "onnxruntime", "yaml", "uvicorn", "nicegui", "subprocess", "typing")
TRAP = "open({!r}, 'a').write(__name__ + '\\n')\nraise ImportError('the code of the current folder ran')\n"


def has_namespaces() -> bool:
    """True where a process may leave the network."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not has_namespaces(), reason="`unshare --net` is not permitted here")


def clean_environment(home: Path) -> dict[str, str]:
    """This one's with a fresh HOME, and without what the tests themselves say."""
    left_out = {children.TELEMETRY[0], "PYTHONSAFEPATH"}
    kept = {k: v for k, v in os.environ.items() if k not in left_out and not k.startswith("XDG_")}
    return kept | {"HOME": str(home)}


def in_namespace(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without a network and with a fresh HOME."""
    home.mkdir()
    return subprocess.run(
        [*NAMESPACE, *command], env=clean_environment(home), capture_output=True, text=True, check=False
    )


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder with a spec and a picture, and beside them modules that leave a mark when they are imported."""
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "pets.sweep.yaml").write_text(SWEEP)
    Image.new("RGB", (16, 12), "teal").save(folder / "picture.png")
    for name in ("a", "b"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (16, 12), "teal").save(folder / "photos" / name / f"{number}.png")
    for name in TRAPS:
        (folder / f"{name}.py").write_text(TRAP.format(str(tmp_path / "sprung")))
    return folder


def subcommands(parent: Group, *before: str) -> set[str]:
    """The names of every command, `data list` one of them."""
    found: set[str] = set()
    for name in parent.list_commands(Context(parent)):
        command = parent.get_command(Context(parent), name)
        found |= subcommands(command, *before, name) if isinstance(command, Group) else {" ".join((*before, name))}
    return found


def test_every_command_is_tried() -> None:
    """A new command is added to the table."""
    assert set(every_command.COMMANDS) == subcommands(group)


@needs_namespaces
def test_one_command_alone_uses_the_network(trapped: Path, tmp_path: Path) -> None:
    """As the README says: `data fetch`. None runs Python files of the working folder or leaves a file in HOME."""
    pytest.importorskip("uvicorn", reason="runs where every extra is installed")
    pytest.importorskip("nicegui", reason="runs where every extra is installed")
    pytest.importorskip("tqdm", reason="runs where every extra is installed")
    script = str(Path(every_command.__file__))
    done = in_namespace(tmp_path / "home", *children.python(script, str(trapped)))
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    found = {said["command"]: said for said in lines}
    assert set(found) == set(every_command.COMMANDS), done.stderr
    assert {name for name, said in found.items() if said["code"]} == {"data fetch"}, done.stderr
    assert {name for name, said in found.items() if said["attempts"]} == {"data fetch"}, done.stderr
    files = [file for said in lines for file in said["files"] if not file.startswith(".cache/matplotlib/fontlist")]
    assert files == []
    assert not (tmp_path / "sprung").exists()


@needs_namespaces
def test_telemetry_would_be_noticed(tmp_path: Path) -> None:
    """The watch above sees a name that is looked up and a file of HOME, as onnxruntime's telemetry needs both."""
    code = (
        "import socket; from pathlib import Path; from every_command import raise_loopback, unroutable\n"
        "raise_loopback(); before = unroutable(); peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "print(peer.connect_ex(('192.0.2.1', 53)), unroutable() - before)"
    )
    folder = str(Path(every_command.__file__).parent)
    done = in_namespace(tmp_path / "home", sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r})\n{code}")
    status, attempts = map(int, done.stdout.split())
    assert status, done.stderr
    assert attempts == 1, done.stderr


@pytest.mark.parametrize("start", [("-P", "-m", "nin_spec"), ("-m", "nin_spec")], ids=" ".join)
def test_python_m_runs_no_file_of_the_working_folder(trapped: Path, tmp_path: Path, start: tuple[str, ...]) -> None:
    """Nor without -P, where Python puts that folder first: but for what Python itself imports before."""
    (trapped / "typing.py").unlink()
    command = [sys.executable, *start, "export", "tiny.yaml", "--onnx"]
    done = subprocess.run(
        command, env=clean_environment(tmp_path), cwd=trapped, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "sprung").exists()
