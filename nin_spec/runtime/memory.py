"""The free memory of this process, and the error if it is not enough."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from nin_spec.diagnostics import Code, DeviceError

ROOT = Path("/")
_FAILED = ("allocate memory", "not enough memory", "bad_alloc", "out of memory")
"""Messages of PyTorch, onnxruntime and C++ for a failed allocation; torch.OutOfMemoryError is a RuntimeError, too."""


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes that this process can still allocate: the available memory, within its cgroup's and its own limits.

    None if unknown (not on Linux).
    """
    found = [*_available(root), *_within_cgroups(root), *_within_limits(root)]
    return max(0, min(found)) if found else None


def _available(root: Path) -> Iterator[int]:
    """The kernel's estimate of what can be allocated without swapping (proc_meminfo(5))."""
    facts = _kilobytes(root / "proc/meminfo")
    if "MemAvailable" in facts:
        yield facts["MemAvailable"]


def _within_cgroups(root: Path) -> Iterator[int]:
    """The free memory of each cgroup of this process, counting its page cache as free.

    Version 2 has one tree, version 1 one for each controller (cgroups(7)).
    """
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            files, base = ("memory.max", "memory.current", "inactive_file"), root / "sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = root / "sys/fs/cgroup/memory"
        else:
            continue
        own = base / path.lstrip("/")
        for folder in (own, *own.parents):
            yield from _left_in(folder, *files)
            if folder == base:
                break


def _left_in(folder: Path, limit: str, used: str, cache: str) -> Iterator[int]:
    """The free memory of one cgroup, if it has a limit."""
    if not (folder / limit).is_file() or not (folder / used).is_file():
        return
    most = (folder / limit).read_text().strip()
    if most == "max":
        return
    stat = folder / "memory.stat"
    lines = stat.read_text().splitlines() if stat.is_file() else []
    cached = sum(int(line.split()[1]) for line in lines if line.split()[0] == cache)
    yield int(most) - int((folder / used).read_text()) + cached


def _within_limits(root: Path) -> Iterator[int]:
    """What the process's limits on address space and data leave (getrlimit(2))."""
    if sys.platform == "win32":
        return
    import resource

    facts = _kilobytes(root / "proc/self/status")
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and used in facts:
            yield most - facts[used]


def _kilobytes(path: Path) -> dict[str, int]:
    """The lines `Name:   12 kB` of a file of /proc, in bytes."""
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = [(line.partition(":")[0], line.split()) for line in lines]
    return {name: int(words[1]) * 1024 for name, words in pairs if words[-1:] == ["kB"]}


def shortage(message: str, hint: str) -> DeviceError:
    """The error of work that needs too much memory."""
    return DeviceError(Code.MEMORY, message, hint=hint)


def ran_out(error: Exception) -> bool:
    """Whether an error of Python, NumPy, PyTorch or onnxruntime means a failed allocation."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _FAILED)


@contextlib.contextmanager
def enough_memory(what: str, hint: str) -> Iterator[None]:
    """Turn a failed allocation into a DeviceError (MEMORY): `what` ran out of memory, with `hint`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise shortage(f"{what} ran out of memory", hint) from error
    except DeviceError as error:
        if error.diagnostics[0].code is not Code.MEMORY:
            raise
        raise shortage(f"{what} ran out of memory: {error.diagnostics[0].message}", hint) from error
