"""Worker processes: dead, silent, and always ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from nin_spec import children
from nin_spec.processes import WorkerError, WorkerProcess

PATIENCE = 120


def speaking(folder: Path, code: str) -> WorkerProcess:
    """A process in the place of a worker."""
    return WorkerProcess((sys.executable, "-c", code), folder / "worker", children.environment())


def gone(pid: int) -> bool:
    """Whether a process has ended, waiting a little for those that are no children of ours."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_worker_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """And how it ended: by a status, or by a signal."""
    with speaking(tmp_path, "import sys; sys.exit('no memory left')") as worker:
        with pytest.raises(WorkerError) as caught:
            worker.ask("turn", PATIENCE)
        assert caught.value.reason == "it exited with status 1"
        assert caught.value.stderr == "no memory left"
    killed = pytest.raises(WorkerError, match="killed by SIGABRT")
    with speaking(tmp_path, "import os; os.abort()") as worker, killed:
        worker.ask("turn", PATIENCE)


def test_a_worker_that_is_silent_is_ended(tmp_path: Path) -> None:
    """And with it what it has started."""
    code = (
        "import subprocess, sys, time; child = subprocess.Popen(['sleep', '1000']);"
        "print('{\"child\": %d}' % child.pid, flush=True); time.sleep(1000)"
    )
    with speaking(tmp_path, code) as worker:
        child = worker.ask("anything", PATIENCE)["child"]
        with pytest.raises(WorkerError, match=r"no response within 0\.05 s"):
            worker.ask("anything", 0.05)
    assert worker.process.returncode == -signal.SIGKILL
    assert gone(child)


def test_a_worker_that_closes_its_mouth_is_ended(tmp_path: Path) -> None:
    """A closed output is not an answer, even while the process lives."""
    code, closed = (
        "import os, time; os.close(1); time.sleep(1000)",
        pytest.raises(WorkerError, match="closed its output"),
    )
    with speaking(tmp_path, code) as worker, closed:
        worker.ask("turn", PATIENCE)
    assert worker.process.returncode == -signal.SIGKILL
