"""What holds for every test: nothing is reported to anyone, nothing is coloured unasked, and Hypothesis has profiles.

`default` draws other examples each time, `ci` the same ones, so that a change alone decides whether it passes, and
`long` many: `HYPOTHESIS_PROFILE=long`, or `make test-long`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nin_spec.children import TELEMETRY

# Tests import onnxruntime themselves, before anything of ours does.
os.environ.update([TELEMETRY])

# As a continuous integration sets it for everything that runs there.
os.environ.pop("FORCE_COLOR", None)

# The workers of pytest-xdist share the cores; threads of theirs would wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No profile judges the time that an example takes, and fixtures are folders, whose files each example overwrites.
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
COMMON = settings(deadline=None, suppress_health_check=SUPPRESSED)
settings.register_profile("default", COMMON, max_examples=60)
settings.register_profile("ci", COMMON, max_examples=60, derandomize=True, database=None, print_blob=True)
settings.register_profile("long", COMMON, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the one training that the README and the guides share."""
    from documents import TRAINED, run
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"  # which workers share
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "runs" / "digits").exists():
            run(f"{TRAINED} --threads 1", folder)  # threads would wait for those of other workers
    return folder / "runs" / "digits"


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A server that a test starts in this process sends its logs to a stream of that test: the next has its own."""
    logs = [logging.getLogger(name) for name in ("nin_spec.serving", "uvicorn.error", "asyncio")]
    before = [(log.handlers, log.propagate, log.level) for log in logs]
    yield
    for log, (handlers, propagate, level) in zip(logs, before, strict=True):
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)
