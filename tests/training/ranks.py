"""Processes that train together on this machine, each in a folder of its own, as on machines of their own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from warm import Running

LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "SLURM_", "OMPI_", "PMI_", "TORCHELASTIC_")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def announced(rank: int, size: int, port: int) -> dict[str, str]:
    """The variables that a launcher sets, as Kubernetes' PyTorchJob has them."""
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def alone(more: dict[str, str]) -> dict[str, str]:
    """This process's environment without a launcher's variables, and with `more`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHERS)}
    return clean | {"OMP_NUM_THREADS": "1"} | more


@contextmanager
def together(
    folder: Path, commands: Sequence[Sequence[str]], *envs: dict[str, str], script: str = ""
) -> Iterator[list[Running]]:
    """One process for each `nin-spec` command and its variables, in `folder/0`, `folder/1`, ...; ended at the end.

    With a `script`, the commands are its arguments.
    """
    started = []
    for number, (command, env) in enumerate(zip(commands, envs, strict=True)):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        started.append(Running(command, place, env=alone(env), script=script))
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def launched(folder: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """What programs have printed that run at the same time in such folders, all having ended well."""
    started = []
    for number, command in enumerate(commands):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        started.append(Popen(command, cwd=place, env=alone({}), text=True, stdout=PIPE, stderr=PIPE))
    return finished(started)


def finished(processes: Sequence[Running | Popen[str]]) -> list[str]:
    """What they have printed, all having ended well."""
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return [out + err for out, err in said]
