"""Processes that meet by a launcher's variables or in a group that exists train as one, whatever their folders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ranks import NIN_SPEC, announced, finished, free_port, together
from small_parts import small_network

from nin_spec.training.begin import train
from nin_spec.training.folder import Run, read_rows
from nin_spec.training.settings import TrainSettings

FLOAT64 = ("--set", "dtype=float64")
ONE = TrainSettings(threads=1)


def slurm(rank: int, size: int, port: int, **more: str) -> dict[str, str]:
    """Slurm's variables of a task on a machine of its own."""
    found = {
        "SLURM_PROCID": rank,
        "SLURM_STEP_NUM_TASKS": size,
        "SLURM_LOCALID": 0,
        "SLURM_NODEID": rank,
        "SLURM_STEP_TASKS_PER_NODE": f"1(x{size})",
        "SLURM_STEP_NODELIST": "localhost,other",
        "MASTER_PORT": port,
    }
    return {key: str(value) for key, value in found.items()} | more


def small(*overrides: str) -> Run:
    """A short run."""
    return train(small_network("batch", 0.3, "dtype=float64", *overrides), output=Path("one"), settings=ONE)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_slurms_tasks_without_a_shared_folder_train_as_one(tmp_path: Path) -> None:
    """They go on with a run whose folder, and spec, the second machine does not have; its curve is that of one."""
    left = iter(range(8))
    network = small_network("batch", 0.3, "dtype=float64")
    begun = train(network, output=Path("0/runs/x"), settings=ONE, stop=lambda: next(left, None) is None)
    assert begun.record.status == "interrupted"
    command, port = (*NIN_SPEC, "train", "runs/x", "--resume"), free_port()
    with together(tmp_path, [command, command], slurm(0, 2, port), slurm(1, 2, port)) as processes:
        leader, follower = finished(processes)
    assert "accuracy" in leader
    assert not follower
    two = read_rows(tmp_path / "0" / "runs" / "x" / "metrics.csv")
    for a, b in zip(read_rows(small().path / "metrics.csv"), two, strict=True):
        assert a == pytest.approx(b, rel=1e-9)
    assert not list((tmp_path / "1").iterdir())


EXISTING = """
import sys, torch, torch.distributed as dist
import nin_spec
from nin_spec.training.settings import TrainSettings
dist.init_process_group("gloo")
before = dist.distributed_c10d._get_default_group()
run = nin_spec.train(nin_spec.compile(sys.argv[1]), output="run", settings=TrainSettings(threads=1))
assert dist.distributed_c10d._get_default_group() is before
ones = torch.ones(1)
dist.all_reduce(ones)
print("sum", int(ones), run.record.status, run.network.hash == run.record.hash)
dist.destroy_process_group()
"""


def test_a_process_group_that_exists_is_joined_and_left_as_it_was(tmp_path: Path) -> None:
    """As Ray Train and Accelerate have it: the caller's group computes on after the training."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(small_network("batch", 0.3, "dtype=float64").spec.text)
    port, command = free_port(), (sys.executable, "-c", EXISTING, str(spec))
    with together(tmp_path, [command, command], announced(0, 2, port), announced(1, 2, port)) as processes:
        for said in finished(processes):
            assert "sum 2 finished True" in said
    one = read_rows(small().path / "metrics.csv")
    for a, b in zip(one, read_rows(tmp_path / "0" / "run" / "metrics.csv"), strict=True):
        assert a == pytest.approx(b, rel=1e-9)
    assert not (tmp_path / "1" / "run").exists()
