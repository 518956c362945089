"""Free memory: the least that the machine, the cgroups and the process's own limits leave."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime.memory import enough_memory, free_memory, shortage

GIB = 1 << 30
MEMINFO = (
    "MemTotal:       33554432 kB\nMemFree:         1048576 kB\nMemAvailable:   8388608 kB\nHugePages_Total:       0\n"
)
V1 = "sys/fs/cgroup/memory"
UNLIMITED = str((1 << 63) - 4096)


def machine(root: Path, files: dict[str, str]) -> Path:
    """A file system with a little of /proc and /sys."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


TWO = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/user/shell\n"}
ONE = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "5:cpu,cpuacct:/job\n4:memory:/job\n"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 4 kB\n"}, None),
        ({"proc/meminfo": MEMINFO}, 8 * GIB),
        (TWO, 8 * GIB),
        (TWO | {"sys/fs/cgroup/user/shell/memory.max": "max", "sys/fs/cgroup/user/shell/memory.current": "5"}, 8 * GIB),
        (
            TWO | {"sys/fs/cgroup/user/shell/memory.max": f"{2 * GIB}", "sys/fs/cgroup/user/shell/memory.current": "9"},
            2 * GIB - 9,
        ),
        # The limit of a parent holds too, and its page cache can be taken back.
        (
            TWO
            | {
                "sys/fs/cgroup/user/memory.max": f"{3 * GIB}",
                "sys/fs/cgroup/user/memory.current": f"{2 * GIB}",
                "sys/fs/cgroup/user/memory.stat": f"anon 7\ninactive_file {GIB}\n",
            },
            2 * GIB,
        ),
        # A container sees its own group as the root.
        (
            {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"}
            | {"sys/fs/cgroup/memory.max": f"{GIB}", "sys/fs/cgroup/memory.current": f"{2 * GIB}"},
            0,
        ),
        (
            ONE
            | {f"{V1}/job/memory.limit_in_bytes": f"{4 * GIB}", f"{V1}/job/memory.usage_in_bytes": f"{GIB}"}
            | {f"{V1}/memory.limit_in_bytes": UNLIMITED, f"{V1}/memory.usage_in_bytes": "1"}
            | {f"{V1}/job/memory.stat": "total_inactive_file 5\n"},
            3 * GIB + 5,
        ),
    ],
)
def test_the_least_of_what_is_left_counts(tmp_path: Path, files: dict[str, str], free: int | None) -> None:
    """Of the kernel's estimate and each cgroup on the way up, of either version."""
    assert free_memory(machine(tmp_path, files)) == free


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """Less what the process takes of it already."""
    import resource

    def limits(which: int) -> tuple[int, int]:
        return (GIB if which == getattr(resource, limit) else resource.RLIM_INFINITY,) * 2

    monkeypatch.setattr(resource, "getrlimit", limits)
    status = "Name:\tpython\nVmSize:\t  524288 kB\nVmData:\t  524288 kB\n"
    assert free_memory(machine(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/status": status})) == GIB // 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only on Linux")
def test_this_machine_says_what_is_free() -> None:
    """A plausible number."""
    assert 1 << 20 < (free_memory() or 0) < 1 << 50


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tr"
        ),
        shortage("cpu can't run a batch of shape (7, 3, 9, 9): Failed to allocate memory", "try a smaller batch"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
)
def test_a_failed_allocation_is_a_diagnostic(error: Exception) -> None:
    """Of Python, NumPy, PyTorch and onnxruntime alike, with the fix for the work that failed."""
    with pytest.raises(DeviceError, match="the work ran out of memory") as caught, enough_memory("the work", "wait"):
        raise error
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].hint) == (Code.MEMORY, "wait")


def test_other_errors_are_left_alone() -> None:
    """A RuntimeError that does not mention memory is a fault of ours."""
    with pytest.raises(RuntimeError, match="shape"), enough_memory("the work", "wait"):
        raise RuntimeError("shape mismatch")
