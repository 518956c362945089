"""What a trained candidate is measured for: the speed of its exported file, and the size of its int8 file."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nin_spec.extras import need
from nin_spec.sweeps.objectives import Objective
from nin_spec.training.folder import Run

LOCK = "nin-spec-latency.lock"
"""In the folder for temporary files: candidates that are timed together would time each other."""


def measure(run: Run, objectives: Iterable[Objective]) -> dict[str, float]:
    """The quantities among the objectives that need the exported file, by name."""
    found: dict[str, float] = {}
    for objective in objectives:
        match objective.name:
            case "latency":
                found["latency"] = _seconds(run, objective) * 1000
            case "throughput":
                timing = objective.timing
                found["throughput"] = (timing.batch if timing else 1) / _seconds(run, objective)
            case "int8_size":
                found["int8_size"] = float(len(_int8(run)))
            case _:
                pass
    return found


def _seconds(run: Run, objective: Objective) -> float:
    """The median time of a run of the exported file, alone on this machine among sweeps."""
    import numpy as np

    from nin_spec.bench.worker import timed
    from nin_spec.exporter import make
    from nin_spec.runtime.session import open_session

    timing = objective.timing
    assert timing is not None  # noqa: S101 by the grammar
    (data,) = make(run.model(), "onnx", {}).files.values()
    session = open_session(data, timing.device, timing.threads)
    shape = (timing.batch, *run.network.graph.input.shape)
    x = np.random.default_rng(0).standard_normal(shape).astype(session.dtype)
    with need("filelock", "nin-spec sweep").FileLock(Path(tempfile.gettempdir()) / LOCK):
        for _ in range(3):
            session.run(x)
        return statistics.median(timed(lambda: session.run(x), timing.seconds, 5)) / 1e9


def _int8(run: Run) -> bytes:
    """The int8 file, calibrated on training pictures; its loss of accuracy is not measured here."""
    from nin_spec.api import make_smaller
    from nin_spec.exporter import make
    from nin_spec.precision.settings import PrecisionSettings

    model = run.model()
    settings = PrecisionSettings("int8", max_drop=None, data=run.location)
    artifact = make_smaller(model, make(model, "onnx", {}), settings, parity=False)
    (data,) = artifact.files.values()
    return data
