"""Workers as processes: asked, refused, dead, silent, and always ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bench_specs import small_file

from nin_spec.bench.contenders import Job
from nin_spec.bench.process import WorkerError, WorkerProcess, environment
from nin_spec.diagnostics import Code, DeviceError, InputError

PATIENCE = 120


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A real one of one thread."""
    with WorkerProcess(tmp_path / "worker", 1) as process:
        yield process


def speaking(folder: Path, code: str) -> WorkerProcess:
    """A process in the place of a worker."""
    return WorkerProcess(folder / "worker", 1, (sys.executable, "-c", code))


def gone(pid: int) -> bool:
    """Whether a process has ended, waiting a little for those that are no children of ours."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_worker_opens_computes_and_laps(worker: WorkerProcess, tmp_path: Path) -> None:
    """A job, a batch, two laps: facts, scores and times come back, and torch was not needed."""
    job = Job("session", str(small_file(tmp_path)), "cpu", 1)
    opened = worker.ask("open", PATIENCE, job=job.as_dict())
    assert opened["facts"] | {"device": "cpu", "precision": "float32"} == opened["facts"]
    assert opened["torch"] is False
    np.save(tmp_path / "in.npy", np.ones((3, 1, 8, 8), np.float32))
    files = {"inputs": str(tmp_path / "in.npy"), "scores": str(tmp_path / "out.npy")}
    ready = worker.ask("ready", PATIENCE, seconds=0.0, **files)
    assert ready["scores"] is True
    assert np.load(tmp_path / "out.npy").shape == (3, 4)
    for _ in range(2):
        laps = worker.ask("lap", PATIENCE, seconds=0.0)["laps"]
        assert laps
        assert all(isinstance(lap, int) and lap > 0 for lap in laps)


def test_what_a_worker_cannot_have_is_the_error_that_it_met(worker: WorkerProcess, tmp_path: Path) -> None:
    """With its code and class; and the worker lives on."""
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError) as caught:
        worker.ask("open", PATIENCE, job=Job("session", str(tmp_path / "broken.onnx"), "cpu", 1).as_dict())
    assert caught.value.diagnostics[0].code is Code.MODEL_UNREADABLE
    with pytest.raises(DeviceError, match="hint"):
        worker.ask("open", PATIENCE, job=Job("session", str(small_file(tmp_path)), "abacus", 1).as_dict())


def test_a_worker_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    """And how it ended: by a status, or by a signal."""
    with speaking(tmp_path, "import sys; sys.exit('no memory left')") as worker:
        with pytest.raises(WorkerError) as caught:
            worker.ask("lap", PATIENCE)
        assert caught.value.reason == "it exited with status 1"
        assert caught.value.stderr == "no memory left"
    killed = pytest.raises(WorkerError, match="killed by SIGABRT")
    with speaking(tmp_path, "import os; os.abort()") as worker, killed:
        worker.ask("lap", PATIENCE)


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
    """A closed output is no answer, though the process lives."""
    code, closed = (
        "import os, time; os.close(1); time.sleep(1000)",
        pytest.raises(WorkerError, match="closed its output"),
    )
    with speaking(tmp_path, code) as worker, closed:
        worker.ask("lap", PATIENCE)
    assert worker.process.returncode == -signal.SIGKILL


def test_a_worker_ends_when_nobody_listens_any_more(worker: WorkerProcess) -> None:
    """Killed, the one who asked leaves no process behind."""
    assert worker.process.stdin
    worker.process.stdin.close()
    assert worker.process.wait(PATIENCE) == 0


def test_what_libraries_print_does_not_come_between_the_answers(tmp_path: Path) -> None:
    """Written to the output by any means it ends up among the errors."""
    code = (
        "import os, nin_spec.bench.worker as w;"
        "w.Worker.lap = lambda self: (print('chatter'), os.write(1, b'more'), {'laps': []})[-1]; w.main()"
    )
    with speaking(tmp_path, code) as worker:
        assert worker.ask("lap", PATIENCE)["laps"] == []
    assert "chatter" in worker.log.read_text()
    assert "more" in worker.log.read_text()


def test_every_library_is_told_its_threads(tmp_path: Path) -> None:
    """And what torch.compile makes stays in the worker's folder."""
    said = environment(tmp_path, 3)
    assert {said[key] for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert said["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))
