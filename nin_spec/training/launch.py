"""The processes of a launcher, from the environment variables of torchrun, Slurm and MPI. Does not load torch.

torchrun      RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT (Kubernetes' PyTorchJob sets the same)
Slurm         SLURM_PROCID, SLURM_STEP_NUM_TASKS (srun's output environment variables)
MPI           OMPI_COMM_WORLD_RANK, PMI_RANK, and the variables of other launchers
"""

from __future__ import annotations

import os
import re
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nin_spec.diagnostics import Code, TrainingError

_MPI = (
    ("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    ("Flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    ("MPI", "PMI_RANK", "PMI_SIZE"),
)
"""Launchers that set a rank and a size, but no rendezvous address."""

_ALONE = "to train in this process alone, set RANK=0 and WORLD_SIZE=1; see `nin-spec guide clusters`"


@dataclass(frozen=True, slots=True)
class Launch:
    """Process `rank` of `size`, which connect at `address`:`port`.

    `local` is its rank among the `neighbours` on its machine, None if unknown. `by` is the launcher, `job` identifies
    its process group, `restarts` is how often torchrun restarted it.
    """

    rank: int = 0
    size: int = 1
    local: int | None = None
    neighbours: int | None = None
    by: str = ""
    address: str = ""
    port: int = 0
    job: str = ""
    restarts: int = 0

    @property
    def rendezvous(self) -> str:
        """The rendezvous address, for messages."""
        return f"{self.address}:{self.port}"


def find_launch(env: Mapping[str, str] = os.environ) -> Launch:
    """Parse the launcher's variables. Raises TrainingError if they contradict each other or lack an address."""
    if "RANK" in env or env.get("WORLD_SIZE") == "1":
        return _torchrun(env)
    mpi = next((found for row in _MPI if (found := _pair(env, *row))), None)
    slurm = _pair(env, "Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    # mpirun starts its own daemons with srun, so Slurm's task number may be that of a daemon.
    daemon = mpi is not None and slurm is not None and (mpi.rank, mpi.size) != (slurm.rank, slurm.size)
    found = mpi if slurm is None or daemon else slurm
    if found is None and "WORLD_SIZE" in env:
        return _torchrun(env)
    if found is None:
        _require_srun(env)
        return Launch()
    if (size := _number(env, "WORLD_SIZE", found.size)) != found.size:
        raise TrainingError(
            Code.RECIPE, f"WORLD_SIZE={size}, but {found.by} started {found.size} processes", hint="unset WORLD_SIZE"
        )
    return _slurm(env, found) if found is slurm else _mpi(env, found)


def agent() -> str:
    """The launcher of this process: its machine, process id and start time. The same after a restart."""
    parent = os.getppid()
    try:
        begun = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):  # only on Linux
        begun = ""
    return f"{socket.gethostname()}:{parent}:{begun}"


def first_host(nodes: str) -> str | None:
    """The first host of a Slurm node list: node01 of `node[01-04,07],gpu1`. None if it is not a node list."""
    head = re.match(r"(?:[^][,\s]|\[[^][\s]+\])+(?=,|$)", nodes.strip())
    if head is None:
        return None
    host = re.sub(r"\[([^],-]+)[^]]*\]", r"\1", head[0])
    return host if re.fullmatch(r"[\w.:-]+", host) else None


def tasks_on(nodes: str, index: int) -> int | None:
    """The number of tasks on a node, from Slurm's list: `2(x3),1` is 2, 2, 2, 1. None if it is not listed."""
    for many, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", nodes):
        index -= int(times or 1)
        if index < 0:
            return int(many)
    return None


def _torchrun(env: Mapping[str, str]) -> Launch:
    rank, size = _number(env, "RANK", 0), _number(env, "WORLD_SIZE", 1)
    local = _number(env, "LOCAL_RANK", 0) if "LOCAL_RANK" in env else None
    neighbours = _number(env, "LOCAL_WORLD_SIZE", 1) if "LOCAL_WORLD_SIZE" in env else None
    many = size if neighbours is None else neighbours
    if not (0 <= rank < size and 0 <= (local or 0) < many <= size):
        keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        found = ", ".join(f"{key}={env[key]}" for key in keys if key in env)
        raise TrainingError(
            Code.RECIPE, f"the environment contradicts itself: {found}", hint="unset them, or start with torchrun"
        )
    if size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= set(env):
        message = f"WORLD_SIZE={size}, but MASTER_ADDR and MASTER_PORT, where the processes connect, are not set"
        raise TrainingError(Code.RECIPE, message, hint=f"set them, or start with torchrun; {_ALONE}")
    if size == 1:
        return Launch(0, 1, 0, 1, "torchrun", restarts=restarts(env))
    place = env["MASTER_ADDR"], _port(env)
    return Launch(rank, size, local, neighbours, "torchrun", *place, restarts=restarts(env))


def restarts(env: Mapping[str, str]) -> int:
    """How often torchrun has restarted the processes; 0 without torchrun. Raises TrainingError."""
    return _number(env, "TORCHELASTIC_RESTART_COUNT", 0)


def _slurm(env: Mapping[str, str], found: Launch) -> Launch:
    """A task of a step with several tasks started by srun, with their rendezvous address."""
    job = f"{env.get('SLURM_JOB_ID', '')}.{env.get('SLURM_STEP_ID', '')}"
    node = _number(env, "SLURM_NODEID", 0)
    neighbours = tasks_on(env.get("SLURM_STEP_TASKS_PER_NODE", ""), node)
    local = _number(env, "SLURM_LOCALID", 0) if "SLURM_LOCALID" in env and neighbours is not None else None
    address = env.get("MASTER_ADDR")
    if address is None:
        # Loopback needs no name resolution, and a list of one node means this machine.
        alone = neighbours == found.size
        address = "127.0.0.1" if alone else first_host(env.get("SLURM_STEP_NODELIST", env.get("SLURM_NODELIST", "")))
    if address is None:
        raise TrainingError(
            Code.RECIPE,
            "Slurm's variables do not name the first node",
            hint="set MASTER_ADDR to the host of the first task",
        )
    # Below the ephemeral ports; depends on the step, as two steps of a job may run in parallel.
    port = _port(env) if "MASTER_PORT" in env else 20_000 + zlib.crc32(job.encode()) % 10_000
    return Launch(found.rank, found.size, local, neighbours, "Slurm", address, port, job)


def _require_srun(env: Mapping[str, str]) -> None:
    """Raise TrainingError in a Slurm job of several tasks without srun: it is unclear whether there are others."""
    if "SLURM_PROCID" in env and "SLURM_STEP_NUM_TASKS" not in env and _number(env, "SLURM_NTASKS", 1) > 1:
        message = f"Slurm allocated {env['SLURM_NTASKS']} tasks, but this process was not started by srun"
        raise TrainingError(
            Code.RECIPE, message, hint=f"start it with srun nin-spec train ..., or with torchrun; {_ALONE}"
        )


def _mpi(env: Mapping[str, str], found: Launch) -> Launch:
    """One of several processes started by MPI, with their rendezvous address."""
    if not {"MASTER_ADDR", "MASTER_PORT"} <= set(env):
        flags = (
            "mpirun -x MASTER_ADDR=HOST -x MASTER_PORT=29500"
            if found.by == "Open MPI"
            else "MASTER_ADDR=HOST, MASTER_PORT=29500"
        )
        message = (
            f"{found.by} started {found.size} processes, but MASTER_ADDR and MASTER_PORT, where they connect, are "
            "not set"
        )
        raise TrainingError(
            Code.RECIPE, message, hint=f"set them for every process ({flags}; HOST is that of process 0); {_ALONE}"
        )
    return replace(found, address=env["MASTER_ADDR"], port=_port(env))


def _pair(env: Mapping[str, str], by: str, rank_key: str, size_key: str) -> Launch | None:
    """The process that two variables describe; None if they are not set, or describe a single process."""
    if rank_key not in env or size_key not in env:
        return None
    rank, size = _number(env, rank_key, 0), _number(env, size_key, 1)
    if size == 1:
        return None
    if not 0 <= rank < size:
        raise TrainingError(
            Code.RECIPE, f"the environment contradicts itself: {rank_key}={rank}, {size_key}={size}", hint=_ALONE
        )
    return Launch(rank, size, by=by)


def _port(env: Mapping[str, str]) -> int:
    port = _number(env, "MASTER_PORT", 0)
    if not 0 < port < 65536:
        raise TrainingError(
            Code.RECIPE, f"MASTER_PORT={port} is not a port", hint="set it to a free port, for example 29500"
        )
    return port


def _number(env: Mapping[str, str], key: str, otherwise: int) -> int:
    try:
        return int(env.get(key, otherwise))
    except ValueError:
        raise TrainingError(
            Code.RECIPE, f"{key}={env[key]} is not a whole number", hint=f"unset it; {_ALONE}"
        ) from None
