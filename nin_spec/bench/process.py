"""A contender's worker process: its command and its environment."""

from __future__ import annotations

from pathlib import Path

from nin_spec import children
from nin_spec.processes import WorkerProcess, command_of

COMMAND = command_of("nin_spec.bench.worker")


def start(folder: Path, threads: int) -> WorkerProcess:
    """Start a worker, with its log in a folder."""
    return WorkerProcess(COMMAND, folder, environment(folder, threads))


def environment(folder: Path, threads: int) -> dict[str, str]:
    """This process's environment, with every library's number of threads, and torch.compile's cache in the folder."""
    count = str(threads)
    return children.environment(
        OMP_NUM_THREADS=count,
        MKL_NUM_THREADS=count,
        OPENBLAS_NUM_THREADS=count,
        TORCHINDUCTOR_CACHE_DIR=str(folder / "inductor"),
        # More would be processes that keep running during the measurement.
        TORCHINDUCTOR_COMPILE_THREADS="1",
    )
