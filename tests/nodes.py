"""What is in a file system and is not a regular file. Nothing outside the given folder is touched."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NODES = ["fifo", "socket", "device", "link to fifo", "link to device", "folder", "link to folder"]


@contextmanager
def node(kind: str, folder: Path, name: str = "node") -> Iterator[Path]:
    """A path at which no regular file can be written. Skips the test where only root could make it."""
    path = folder / name
    if kind.startswith("link to "):
        with node(kind.removeprefix("link to "), folder, f"real-{name}") as target:
            path.symlink_to(target)
            yield path
        return
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes device nodes")
    else:
        with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(folder):  # a socket's path is short
            server.bind(name)
            yield path
        return
    yield path


def names_in(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())
