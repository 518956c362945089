"""Runs every command inside a namespace without a network, in a folder of traps, and reports what was noticed.

    unshare --net --map-root-user python -P every_command.py FOLDER

Not a test: test_outside.py starts it. FOLDER has tiny.yaml and picture.png. Prints a line of JSON for each command:
its name, its exit code, the packets that had no way out of this machine, and the files that are new in HOME.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from nin_spec import children
from nin_spec.cli import main

QUICK = ("--device", "cpu", "--threads", "1")
VALIDATED = ("--set", "train.validation=0.2")
COMMANDS: dict[str, tuple[str, ...]] = {
    "build": ("tiny.yaml",),
    "check": ("tiny.yaml",),
    "diff": ("tiny.yaml", "nin_digits"),
    "show": ("tiny.yaml",),
    "list": (),
    "schema": (),
    "cite": ("tiny.yaml",),
    "init": ("photos",),
    "export": ("tiny.yaml", "--onnx", "--source", "--triton", "--force"),
    "import": ("tiny.onnx", "-o", "imported.yaml", "--force"),
    "train": ("nin_digits", "--limit", "256", "--set", "train.epochs=1", *VALIDATED, "-o", "runs/a", *QUICK),
    "sweep": ("pets.sweep.yaml", "--trials", "1", "--limit", "100", "-o", "sweeps/a"),
    "evaluate": ("runs/a", "--limit", "32", *QUICK),
    "runs": ("runs",),
    "calibrate": ("runs/a", *QUICK),
    "run": ("tiny.onnx", "picture.png", *QUICK),
    "explain": ("runs/a", "picture.png", *QUICK),
    "bench": (
        *("tiny.yaml", "--seconds", "0.01", "--turns", "1", "--batch", "1", "--no-peak"),
        *("--against", "bare", *QUICK),
    ),
    "data list": (),
    "data show": ("digits",),
    "data check": ("digits",),
    "data save": ("digits", "pictures", "--count", "1"),
    "data fetch": ("mnist", "--to", "mnist"),
    "serve": ("tiny.onnx", "--port", "0", *QUICK),
    "studio": ("tiny.yaml", "--no-browser"),
    "doctor": (),
    "prove": ("cpu", "--only", "shuffle", "--precision", "float32", "-o", "cpu.json"),
    "guide": ("training",),
}
"""Each command with arguments that it can be run with."""


def _serve(log: IO[str]) -> None:
    (host,) = _until(log, r"on http://([^/\s]+)")
    assert json.loads(_get(host, "/v2/models/tiny"))["name"] == "tiny"


def _studio(log: IO[str]) -> None:
    host, path = _until(log, r"on http://([^/\s]+)(\S+)")
    assert b"studio" in _get(host, path)


LASTING: dict[str, Callable[[IO[str]], None]] = {"serve": _serve, "studio": _studio}
"""Those that end on a signal, and what is asked of each before."""


def _get(host: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", path)
    with connection.getresponse() as answer:
        assert answer.status == 200
        return answer.read()


def _until(log: IO[str], pattern: str) -> tuple[str, ...]:
    said = ""
    for line in log:
        said += line
        if found := re.search(pattern, line):
            return found.groups()
    raise AssertionError(said)


def run(name: str) -> int:
    """The exit code of a command."""
    arguments = [*name.split(), *COMMANDS[name]]
    if name not in LASTING:
        try:
            main(arguments)
        except SystemExit as end:
            return int(end.code or 0)
    with subprocess.Popen(children.python("-m", "nin_spec", *arguments), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        LASTING[name](process.stderr)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        return process.wait(60)


def raise_loopback() -> None:
    """127.0.0.1 can be reached, and nothing else (man 7 netdevice, SIOCSIFFLAGS)."""
    up, loopback = 0x1, 0x8
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", up | loopback))


def unroutable() -> int:
    """Packets for which this namespace had no route: attempts to reach another machine (RFC 4293, OutNoRoutes)."""
    heads, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines()[:2])
    six = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(dict(zip(heads, values, strict=True))["OutNoRoutes"]) + int(six["Ip6OutNoRoutes"])


def main_of_all() -> None:
    """Every command in turn."""
    folder, home = Path(sys.argv[1]), Path.home()
    os.chdir(folder)
    raise_loopback()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    known = set(home.rglob("*"))
    for name in COMMANDS:
        before = unroutable()
        code = run(name)
        files = {path for path in home.rglob("*") if path.is_file()}
        new = sorted(str(path.relative_to(home)) for path in files - known)
        said = {"command": name, "code": code, "attempts": unroutable() - before, "files": new}
        known |= files
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main_of_all()
