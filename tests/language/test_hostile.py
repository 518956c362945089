"""Hostile input is refused in bounded memory: each case runs in its own process under a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from nin_spec.language.document import decode
from nin_spec.language.load import load_source
from nin_spec.lower import lower

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and pipes of POSIX")

HEAD = "spec: 1\nname: a\ninput: {channels: 3, size: 32}\nclasses: 10\n"
BLOCK = "blocks:\n  - {channels: [classes], kernel: 1}\n"
SOUND = (HEAD + BLOCK).encode()

RUNNER = textwrap.dedent("""
    import contextlib, io, json, resource, sys, traceback
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    from nin_spec.cli import execute
    def peak():
        try:
            status = open("/proc/self/status").read()
        except OSError:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (10 if sys.platform != "darwin" else 20)
        # On Linux ru_maxrss begins with what the process that started this one had.
        return int(status.split("VmHWM:")[1].split()[0]) >> 10
    for line in sys.argv[1:]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                code = execute(["check", *json.loads(line)])
            except BaseException:
                code = traceback.format_exc()
        print(json.dumps([code, out.getvalue(), peak()]), flush=True)
""")
PEAK_MIB = 300


@dataclass(frozen=True)
class Outcome:
    """How one `check` ended: its exit code (or a traceback), what it printed, the process's peak memory."""

    code: int | str
    text: str
    peak_mib: int


def check(*commands: list[str], cwd: Path, stdin: int = subprocess.DEVNULL) -> list[Outcome]:
    """Each `nin-spec check` in turn, in one process with a GiB of addresses."""
    program = [sys.executable, "-c", RUNNER, *map(json.dumps, commands)]
    done = subprocess.run(program, cwd=cwd, stdin=stdin, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]


def assert_refused(outcome: Outcome) -> None:
    """Exit 2 with diagnostics, not too many, and a modest amount of memory."""
    assert outcome.code == 2, f"{outcome.code}\n{outcome.text[-2000:]}"
    assert "error NIN" in outcome.text
    assert len(outcome.text) < 100_000
    assert outcome.peak_mib < PEAK_MIB


def bomb(width: int, levels: int) -> str:
    """Lists of aliases of lists of aliases."""
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * width) + "]" for i in range(1, levels)]
    return "\n".join(lines)


def many_layers() -> str:
    """The most convolutions that the lists of the grammar can hold."""
    widths = ",".join(["1"] * 64)
    return f"{HEAD}blocks:\n" + f"  - {{kernel: 1, channels: [{widths}]}}\n" * 255 + BLOCK.splitlines()[1] + "\n"


TEXTS = {
    "alias bomb": bomb(10, 20),
    "alias bomb of mappings": HEAD + "x: &a {k: 1}\ny: &b {" + ", ".join(f"k{i}: *a" for i in range(60_000)) + "}",
    "flow lists without end": "a: " + "[" * 10_000,
    "flow mappings without end": "a: " + "{" * 10_000,
    "mappings of mappings": "a: " + "{a: " * 10_000,
    "block lists": "a:\n " + "- " * 10_000,
    "complex keys": "? " * 10_000,
    "indentation": "".join(" " * i + "a:\n" for i in range(1_000)),
    "channels": HEAD + "blocks: [{channels: [1000000000000], kernel: 1}]",
    "parameters": HEAD + "blocks: [{channels: [65536, 65536, 65536], kernel: 1}]",
    "kernel": HEAD + "blocks: [{channels: [65536, classes], kernel: 16384, padding: 16384}]",
    "kernel beyond the language": HEAD + "blocks: [{channels: [classes], kernel: 1000000000000}]",
    "dilation": HEAD + "blocks: [{channels: [classes], kernel: 16384, dilation: 16384}]",
    "padding": HEAD + "blocks: [{channels: [classes], kernel: 1, padding: 16384}]" + "\nhead: {pool: none}",
    "groups": HEAD + "blocks: [{convs: [{channels: classes, kernel: 1, groups: 65536}]}]",
    "layers": many_layers(),
    "blocks": HEAD + "blocks:\n" + "  - {channels: [1], kernel: 1}\n" * 20_000,
    "unknown keys": "".join(f"key{i}: 1\n" for i in range(40_000)),
    "a key over and over": "k: 1\n" * 40_000,
    "wrong values": HEAD + "blocks: [{channels: [" + ",".join(["x"] * 45_000) + "], kernel: 1}]",
    "labels": HEAD.replace("10", "[" + ",".join(["a"] * 45_000) + "]") + BLOCK,
    "a long number": HEAD.replace("10", "9" * 100_000) + BLOCK,
    "a long hexadecimal number": HEAD.replace("10", "0x" + "f" * 100_000) + BLOCK,
    "an infinite number": HEAD.replace("32", "1e400") + BLOCK,
    "no number": HEAD.replace("32", ".nan") + BLOCK,
    "an integer beyond floats": HEAD.replace("32", "32, preprocess: {scale: 1" + "0" * 390 + "}") + BLOCK,
    "a long string": HEAD + "summary: " + "x" * 1_000_000,
    "a long name": HEAD.replace("name: a", "name: " + "x" * 1_000_000) + BLOCK,
    "a long key": "? " + "x" * 1_000_000 + "\n: 1",
    "a long fraction": HEAD.replace("32", 'preprocess: {scale: "' + "1" * 900_000 + '/0"}') + BLOCK,
    "a long tag": "a: !" + "x" * 1_000_000 + " 1",
    "a tag that runs code": "a: !!python/object/apply:os.system ['touch owned']",
    "extends with a long name": "extends: " + "x" * 100_000,
    "extends a device": "extends: /dev/zero",
    "extends with a NUL": 'extends: "a\\0.yaml"',
    "NUL": "spec: 1\nname: a\0b\n",
}
BYTES = {
    "invalid UTF-8": b"spec: 1\nname: \xff\xfe\n",
    "truncated UTF-8": SOUND + b"\xe2\x82",
    "surrogates": SOUND + b"summary: \xed\xa0\x80",
    "UTF-16": SOUND.decode().encode("utf-16"),
    "UTF-32": SOUND.decode().encode("utf-32"),
    "random bytes": bytes(range(256)) * 40,
}


CASES: dict[str, bytes] = {**{k: v.encode() for k, v in TEXTS.items()}, **BYTES}
SPECIAL = ["folder", "/dev/zero", "/dev/null", "missing.yaml", "no_such_spec", "x" * 300, "x" * 5_000, "", "fifo"]
LINKS = ["loop.yaml", "extends_fifo.yaml", "extends_loop.yaml"]
OVERRIDES = ["x" * 100_000, ".".join("a" * 20_000) + "=1", "name=" + "[" * 50_000, "blocks.0.kernel=" + "9" * 50_000]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of file."""
    folder = tmp_path_factory.mktemp("hostile")
    for i, data in enumerate(CASES.values()):
        (folder / f"{i}.yaml").write_bytes(data)
    with (folder / "huge.yaml").open("wb") as file:
        file.truncate(1 << 34)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "extends_fifo.yaml").write_text("spec: 1\nextends: ./fifo\n")
    (folder / "extends_loop.yaml").write_text("spec: 1\nextends: loop.yaml\n")
    for i in range(100):
        (folder / f"chain{i}.yaml").write_text(f"spec: 1\nextends: chain{i + 1}.yaml\nname: a\n")
    (folder / "sound.yaml").write_bytes(SOUND)
    return folder


@pytest.fixture(scope="module")
def texts(folder: Path) -> dict[str, Outcome]:
    """How the check of each hostile text ended."""
    return dict(zip(CASES, check(*([f"{i}.yaml"] for i in range(len(CASES))), cwd=folder), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_hostile_text_is_refused(case: str, texts: dict[str, Outcome], folder: Path) -> None:
    """Exit 2 and a diagnostic, for any text."""
    assert_refused(texts[case])
    assert not (folder / "owned").exists()


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Outcome]:
    """How the check of each special file ended."""
    names = [*SPECIAL, *LINKS, "huge.yaml", "chain0.yaml"]
    return dict(zip(names, check(*([n] for n in names), cwd=folder), strict=True))


@pytest.mark.parametrize("name", [*SPECIAL, *LINKS], ids=lambda n: n[:20])
def test_what_is_not_a_file_is_refused(name: str, files: dict[str, Outcome]) -> None:
    """Folders, devices, pipes without a writer, links in a ring and names of any length."""
    assert_refused(files[name])


def test_sparse_gigabytes_are_refused(files: dict[str, Outcome]) -> None:
    """A file of many gigabytes is refused after its first mebibyte."""
    assert_refused(files["huge.yaml"])
    assert "NIN003" in files["huge.yaml"].text


def test_a_long_chain_of_extends_is_refused(files: dict[str, Outcome]) -> None:
    """A hundred specs that extend each other are too many, and the diagnostic says so."""
    assert_refused(files["chain0.yaml"])
    assert "NIN301" in files["chain0.yaml"].text


def test_endless_standard_input_is_refused(folder: Path) -> None:
    """`-` reads no more than a spec's limit."""
    with Path("/dev/zero").open("rb") as zeros:
        (outcome,) = check(["-"], cwd=folder, stdin=zeros.fileno())
    assert_refused(outcome)
    assert "NIN003" in outcome.text


def test_hostile_overrides_are_refused(folder: Path) -> None:
    """`--set` is read with the same care."""
    for outcome in check(*(["sound.yaml", "--set", argument] for argument in OVERRIDES), cwd=folder):
        assert_refused(outcome)


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbf" + SOUND, SOUND.replace(b"\n", b"\r\n"), SOUND.replace(b"\n", b"\r")],
    ids=["byte order mark", "CR LF", "CR"],
)
def test_files_of_other_systems_are_read(data: bytes) -> None:
    """A byte order mark before the first key and the line ends of every system are no errors."""
    assert lower(load_source(decode("a.yaml", data))).output.shape == (10,)
