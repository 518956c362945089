"""Workers of the bench: asked and refused, and what they receive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bench_specs import small_file

from nin_spec import children
from nin_spec.bench.contenders import Job
from nin_spec.bench.process import environment, start
from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.processes import WorkerProcess

PATIENCE = 120


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A real one of one thread."""
    with start(tmp_path / "worker", 1) as process:
        yield process


def test_a_worker_opens_computes_and_takes_turns(worker: WorkerProcess, tmp_path: Path) -> None:
    """A job, a batch, two turns: facts, scores and times come back, and torch was not needed."""
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
        runs = worker.ask("turn", PATIENCE, seconds=0.0)["runs"]
        assert runs
        assert all(isinstance(run, int) and run > 0 for run in runs)


def test_what_a_worker_cannot_have_is_the_error_that_it_met(worker: WorkerProcess, tmp_path: Path) -> None:
    """With its code and class; and the worker lives on."""
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError) as caught:
        worker.ask("open", PATIENCE, job=Job("session", str(tmp_path / "broken.onnx"), "cpu", 1).as_dict())
    assert caught.value.diagnostics[0].code is Code.MODEL_UNREADABLE
    with pytest.raises(DeviceError, match="hint"):
        worker.ask("open", PATIENCE, job=Job("session", str(small_file(tmp_path)), "abacus", 1).as_dict())


def test_a_worker_ends_when_nobody_listens_any_more(worker: WorkerProcess) -> None:
    """Killed, the one who asked leaves no process behind."""
    assert worker.process.stdin
    worker.process.stdin.close()
    assert worker.process.wait(PATIENCE) == 0


def test_what_libraries_print_does_not_come_between_the_answers(tmp_path: Path) -> None:
    """Written to the output by any means it ends up among the errors."""
    code = (
        "import os, nin_spec.bench.worker as w;"
        "w.Worker.turn = lambda self: (print('chatter'), os.write(1, b'more'), {'runs': []})[-1]; w.main()"
    )
    command = children.python("-c", code)
    with WorkerProcess(command, tmp_path / "worker", environment(tmp_path, 1)) as worker:
        assert worker.ask("turn", PATIENCE)["runs"] == []
    assert "chatter" in worker.log.read_text()
    assert "more" in worker.log.read_text()


def test_every_library_is_passed_its_threads(tmp_path: Path) -> None:
    """And what torch.compile makes stays in the worker's folder."""
    said = environment(tmp_path, 3)
    assert {said[key] for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert said["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path))
