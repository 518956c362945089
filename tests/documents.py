"""A Markdown document that is run: its blocks, in their order, in a folder of their own.

    yaml, prototxt   a file, named by the first line (`# tiny.yaml`); a spec must compile, a sweep file be right
    console          commands after `$ `, and what they print: `...` stands for anything, `# exits 1` for an exit code
    python           a script
    sh               commands that need more than one machine, or the network: their options must exist

Any other block is an error. A server of the document listens on ports of ours, and the commands after it find it there.
Commands run in copies of a process that has loaded PyTorch. One training, which documents share, is run whole; any
other is cut to EPOCHS.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import pytest
import warm
from foreign_clients import clients

from nin_spec import guide

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 72
"""Of the terminal that shown output is printed on."""
TRAINED = "nin-spec train nin_digits -o runs/digits"
"""The one training that documents share: it is run once, and copied to where a document runs it."""
EPOCHS = 6
"""What a longer training of a document is cut to: enough for the digits to be told apart."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MAIN = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]
_TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the heading above it, and the line of the document that it begins in."""

    kind: str
    text: str
    heading: str
    line: int


@dataclass(frozen=True)
class Step:
    """A command, the exit code that the document gives it, and what it is shown to print, if anything."""

    command: str
    code: int
    shown: str


def blocks(document: Path) -> list[Block]:
    """Every fenced block of a document."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", before), re.MULTILINE)
        found.append(Block(match[1], match[2], headings[-1] if headings else "", before.count("\n") + 1))
    return found


def steps(text: str) -> list[Step]:
    """The commands of a console block, each with its output."""
    found = []
    for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        command, _, remark = line.partition("  #")
        code = re.search(r"exits (\d+)", remark)
        found.append(Step(" ".join(command.split()), int(code[1]) if code else 0, shown.strip()))
    return found


def names(document: Path) -> list[str]:
    """An id for each block: its heading, and a number where there are several under one."""
    seen: dict[str, int] = {}
    found = []
    for block in blocks(document):
        slug = re.sub(r"\W+", "-", block.heading.lower()).strip("-")
        seen[slug] = seen.get(slug, 0) + 1
        found.append(f"{document.stem}-{slug}-{seen[slug]}")
    return found


@dataclass
class Walk:
    """A document on its way: a block is run after those before it, each once."""

    document: Path
    folder: Path
    trained: Path
    done: int = 0
    ports: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None

    def through(self, index: int) -> None:
        """Run the blocks up to this one that have not been run."""
        found = blocks(self.document)
        while self.done <= index:
            block = found[self.done]
            self.done += 1  # a block that fails is not run again
            self._run(block)

    def _run(self, block: Block) -> None:
        match block.kind:
            case "yaml" | "prototxt":
                self._write(block)
            case "console":
                for step in steps(block.text):
                    self._do(step)
            case "python":
                self._python(block.text)
            case "sh":
                for command in _lines(block.text):
                    parse(command)
            case "json":
                json.loads(block.text)
            case kind:
                pytest.fail(f"{self.document.name}:{block.line}: a block of kind {kind!r}")

    def _write(self, block: Block) -> None:
        import nin_spec
        from nin_spec.sweeps import load as sweep_file

        name = block.text.splitlines()[0].removeprefix("# ")
        assert re.fullmatch(r"[\w-]+(\.sweep)?\.(yaml|prototxt)", name), (
            f"{self.document.name}:{block.line} names no file"
        )
        (self.folder / name).write_text(block.text)
        if name.endswith(".sweep.yaml"):
            sweep_file.load(self.folder / name)
        elif block.kind == "yaml":
            nin_spec.compile(str(self.folder / name))

    def _do(self, step: Step) -> None:
        command = self._local(step.command)
        match command.split()[0], command.split()[1:2]:
            case "make", [target]:
                assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE), command
            case "pip", _:
                _installs(command)
            case "source", _:
                assert command == "source .venv/bin/activate"
            case "nin-spec", ["serve"]:
                self._serve(command)
            case "nin-spec", ["studio"]:
                _studio(command, self.folder)
            case _ if command == TRAINED:
                shutil.copytree(self.trained, self.folder / "runs" / "digits")
            case _:
                printed = run(_short(command), self.folder, step.code, shown=bool(step.shown))
                if step.shown:
                    assert re.fullmatch(_pattern(step.shown), printed, re.DOTALL), f"$ {command}\n{printed}"

    def _python(self, text: str) -> None:
        extra = {"PYTHONPATH": str(clients())} if "tritonclient" in text else {}
        done = warm.run([], self.folder, env=os.environ | extra, script=self._local(text))
        assert done.returncode == 0, done.stderr
        for line in re.findall(r"^print\(.*\)  # (.+)$", text, re.MULTILINE):  # what the script says that it prints
            assert line in done.stdout, done.stdout

    def _local(self, text: str) -> str:
        """With the ports that this document's server has here."""
        for port, ours in self.ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        return text.replace("localhost:", "127.0.0.1:") if self.ports else text

    def _serve(self, command: str) -> None:
        self.close()
        for port in ["8000", *re.findall(r"-port (\d+)", command)]:
            self.ports[port] = _free_port()
        command = self._local(command)
        port = self.ports["8000"]
        asked = [] if " --port " in command else ["--port", port]
        call = [*_MAIN, *shlex.split(command)[1:], *asked]
        self.server = subprocess.Popen(call, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                return
            assert self.server.poll() is None, command
            time.sleep(0.1)
        pytest.fail(f"{command} does not get ready")

    def close(self) -> None:
        """End the server, if one runs."""
        if self.server is not None:
            self.server.terminate()
            assert self.server.wait(60) == 0
            self.server = None


@contextmanager
def walk(document: Path, folder: Path, trained: Path) -> Iterator[Walk]:
    """A document in this folder, its server ended at the end."""
    going = Walk(document, folder, trained)
    try:
        yield going
    finally:
        going.close()


def guide_blocks(topics: Iterable[str]) -> list[Any]:
    """A parameter (topic, index) for each block of these guides."""
    pages = {topic: guide.FOLDER / f"{topic}.md" for topic in topics}
    return [
        pytest.param(topic, index, id=name) for topic, page in pages.items() for index, name in enumerate(names(page))
    ]


@contextmanager
def walk_guides(topics: Iterable[str], factory: pytest.TempPathFactory, trained: Path) -> Iterator[dict[str, Walk]]:
    """These guides, each in a folder that is empty but for `photos`, pictures by class, which readers bring."""
    with ExitStack() as stack:
        going = {}
        for topic in topics:
            folder = factory.mktemp(topic)
            photographs(folder / "photos")
            going[topic] = stack.enter_context(walk(guide.FOLDER / f"{topic}.md", folder, trained))
        yield going


def photographs(folder: Path) -> None:
    """Pictures by class, in two splits."""
    from PIL import Image

    for split, name, number in product(("train", "test"), ("cat", "dog"), range(6)):
        place = folder / split / name
        place.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 32), 20 + 40 * (name == "dog")).convert("RGB").save(place / f"{number}.jpg")


def run(command: str, folder: Path, code: int = 0, *, shown: bool = False) -> str:
    """What a command prints, in the folder, with that exit code; on a terminal of 72 columns where it is `shown`."""
    script, _, target = command.partition(" > ")
    name, *arguments = shlex.split(script)
    files = [word for given in arguments for word in ([given] if f"'{given}'" in script else _expanded(given, folder))]
    if shown:
        ended, printed = _on_terminal(name, files, folder)
    else:
        done = _ran(name, files, folder)
        ended, printed = done.returncode, done.stdout + done.stderr
        if target:
            (folder / target).write_text(done.stdout)
    assert ended == code, f"$ {command}\n{printed}"
    assert "Traceback" not in printed, printed
    return printed


def _ran(name: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    match name:
        case "nin-spec":
            return warm.run(arguments, folder)
        case "python":
            return warm.run(arguments[1:], folder, script=(folder / arguments[0]).read_text())
        case "torchrun":
            program = _TORCHRUN
        case _ if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        case _:
            program = [name]
    return subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def parse(command: str) -> None:
    """That the nin-spec part of a command names a command and options that exist."""
    from nin_spec.cli import group

    words = shlex.split(command)
    start = next((i + 1 for i, word in enumerate(words) if word in {"nin-spec", "nin_spec"}), None)
    if start is None:
        assert words[0] in {"curl", "npm", "openssl"}, command
        return
    owner: click.Command = group
    context = click.Context(group, info_name="nin-spec")
    arguments = words[start:]
    while isinstance(owner, click.Group):
        _, found, arguments = owner.resolve_command(context, arguments)
        assert found is not None, command
        owner = found
        context = click.Context(owner, context)
    owner.make_parser(context).parse_args(arguments)


def _short(command: str) -> str:
    """Without epochs beyond EPOCHS."""
    return re.sub(r"(?<=train\.epochs=)\d+", lambda found: str(min(int(found[0]), EPOCHS)), command)


def _expanded(pattern: str, folder: Path) -> list[str]:
    """What the shell makes of `pictures/*.png`, not in quotes; anything else as it is."""
    return sorted(str(p.relative_to(folder)) for p in folder.glob(pattern)) if "*" in pattern else [pattern]


def _lines(text: str) -> list[str]:
    """The commands of an sh block, without remarks."""
    lines = (line.partition("  #")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _pattern(shown: str) -> str:
    lines = "\n".join(line.rstrip() for line in shown.splitlines())
    return re.escape(lines).replace(re.escape("..."), ".*?")


def _on_terminal(name: str, arguments: list[str], folder: Path) -> tuple[int, str]:
    """The exit code of a command, and what it printed, standard error last."""
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}} | {"NO_COLOR": "1"}
    with tempfile.TemporaryFile() as errors:
        if name == "nin-spec":
            wait = warm.Waiting(warm.start(arguments, folder, follower, errors.fileno(), env=env)).wait
        else:
            call = [name, *arguments]
            wait = subprocess.Popen(call, cwd=folder, env=env, stdout=follower, stderr=errors).wait
        os.close(follower)
        found = b""
        with suppress(OSError):  # Linux: the other end is closed
            while part := os.read(leader, 1 << 16):
                found += part
        os.close(leader)
        code = wait()
        errors.seek(0)
        printed = (found + errors.read()).decode()
    return code, "\n".join(line.rstrip() for line in printed.replace("\r\n", "\n").splitlines()).strip()


def _installs(command: str) -> None:
    """That the extras which a pip command names are extras of ours."""
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extras in re.findall(r"(?:nin-spec|\.)\[([\w,]+)\]", command):
        assert set(extras.split(",")) <= set(known), command


def _studio(command: str, folder: Path) -> None:
    """The studio without a browser: it prints its address, and ends with Ctrl-C."""
    call = [*_MAIN, *shlex.split(command)[1:], "--no-browser"]
    process = subprocess.Popen(call, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr as said:
        assert said.readline().startswith("studio on http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in {0, 130}
        assert "Traceback" not in said.read()


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
