"""Processes that train together on this machine, each in a folder of its own, as on machines of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NIN_SPEC = (sys.executable, "-m", "nin_spec")
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "SLURM_", "OMPI_", "PMI_", "TORCHELASTIC_")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def announced(rank: int, size: int, port: int) -> dict[str, str]:
    """The variables that a launcher sets, as Kubernetes' PyTorchJob has them."""
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@contextmanager
def together(folder: Path, commands: Sequence[Sequence[str]], *envs: dict[str, str]) -> Iterator[list[Popen]]:
    """One process for each command and its variables, in `folder/0`, `folder/1`, ...; ended at the end."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHERS)}
    started = []
    for number, (command, env) in enumerate(zip(commands, envs, strict=True)):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        environment = clean | {"OMP_NUM_THREADS": "1"} | env
        started.append(
            subprocess.Popen(
                command, cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


Popen = subprocess.Popen[str]


def finished(processes: Sequence[Popen]) -> list[str]:
    """What they have printed, all having ended well."""
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return [out + err for out, err in said]
