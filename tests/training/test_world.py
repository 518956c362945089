"""Processes that meet by a launcher's variables or in an existing group train as one, with any folders."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from ranks import announced, finished, free_port, together
from small_parts import small_network

from nin_spec.diagnostics import DataError, TrainingError
from nin_spec.training.begin import _agreed_sets, train
from nin_spec.training.collectives import connect_store
from nin_spec.training.folder import Run, read_rows
from nin_spec.training.launch import Launch
from nin_spec.training.settings import TrainSettings
from nin_spec.training.world import World, require_same

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
    """They resume a run whose folder, and spec, the second machine does not have; its curve is that of one."""
    left = iter(range(8))
    network = small_network("batch", 0.3, "dtype=float64")
    begun = train(network, output=Path("0/runs/x"), settings=ONE, stop=lambda: next(left, None) is None)
    assert begun.record.status == "interrupted"
    command, port = ("train", "runs/x", "--resume", "--peer-timeout", "0"), free_port()
    with together(tmp_path, [command, command], slurm(0, 2, port), slurm(1, 2, port)) as processes:
        leader, follower = finished(processes)
    assert "accuracy" in leader
    assert not follower
    two = read_rows(tmp_path / "0" / "runs" / "x" / "metrics.csv")
    for a, b in zip(read_rows(small().path / "metrics.csv"), two, strict=True):
        assert a == pytest.approx(b, rel=1e-9)
    assert not list((tmp_path / "1").iterdir())


class Said:
    """Words of process 1 that differ from those of process 0; this process is the first."""

    def __init__(self, *others: Any) -> None:
        self.others = list(others)

    def all_gather(self, value: Any, rank: int, size: int) -> list[Any]:
        """The other's words once, then the same from both."""
        return [value, self.others.pop(0)] if self.others else [value, value]

    def broadcast(self, value: Any, rank: int) -> Any:
        """What process 0 says."""
        return value


def pair(*others: Any) -> World:
    """Process 0 of two, and what process 1 says."""
    return World(0, 2, 0, 2, ("pid 1 on a", "pid 2 on b"), collectives=Said(*others))


def test_processes_started_for_different_trainings_are_refused() -> None:
    """A sweep under srun would else become one training of one of its members."""
    with pytest.raises(TrainingError, match=r"process 1 \(pid 2 on b\) and process 0 differ in seed") as caught:
        require_same(pair({"output": "x", "seed": 2}), {"output": "x", "seed": 1})
    assert "RANK=0 and WORLD_SIZE=1" in str(caught.value)
    require_same(pair({"seed": 1}), {"seed": 1})


def test_machines_with_different_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"process 1 \(pid 2 on b\) has different pictures from process 0"):
        _agreed_sets(small_network(), None, ONE, pair(None, ["0", "0", []]))


def test_who_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_spec.training.collectives.MEET_SECONDS", 0.5)
    with pytest.raises(TrainingError, match=r"processes \[1, 2\] did not start within"):
        connect_store(Launch(0, 3, by="Slurm", address="127.0.0.1", port=free_port()))


def test_a_port_that_is_taken_is_reported_with_a_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        launch = Launch(0, 2, by="Slurm", address="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(
            TrainingError,
            match=r"process 0 of 2 .* can't connect to the others at "
            r"127\.0\.0\.1",
        ) as caught:
            connect_store(launch)
    assert "MASTER_PORT" in str(caught.value)


EXISTING = """
import sys, torch, torch.distributed as dist
from pathlib import Path
import nin_spec
from nin_spec.training.settings import TrainSettings

def group_threads():
    tasks = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    return [task for task in tasks if "gloo" in task]

def trained(output):
    return nin_spec.train(nin_spec.compile(sys.argv[1]), output=output, settings=TrainSettings(threads=1))

trained("own")
print("after its own group", group_threads())
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{sys.argv[2]}", rank=int(sys.argv[3]), world_size=2)
before = dist.distributed_c10d._get_default_group()
run = trained("run")
assert dist.distributed_c10d._get_default_group() is before
ones = torch.ones(1)
dist.all_reduce(ones)
print("sum", int(ones), run.record.status, run.network.hash == run.record.hash)
del before
dist.destroy_process_group()
print("after the caller's group", group_threads())
"""


def test_a_process_group_that_exists_is_joined_and_left_as_it_was(tmp_path: Path) -> None:
    """As Ray Train and Accelerate have it: the caller's group computes on after the training.

    No thread outlives its group, whether that was the training's own or the caller's: it could abort Python's exit.
    """
    spec = tmp_path / "spec.yaml"
    spec.write_text(small_network("batch", 0.3, "dtype=float64").spec.text)
    port, other = free_port(), str(free_port())
    commands = [(str(spec), other, rank) for rank in "01"]
    with together(tmp_path, commands, announced(0, 2, port), announced(1, 2, port), script=EXISTING) as processes:
        for said in finished(processes):
            assert "sum 2 finished True" in said
            if sys.platform == "linux":
                assert "after its own group []" in said
                assert "after the caller's group []" in said
    one = read_rows(small().path / "metrics.csv")
    for a, b in zip(one, read_rows(tmp_path / "0" / "run" / "metrics.csv"), strict=True):
        assert a == pytest.approx(b, rel=1e-9)
    assert not list((tmp_path / "1").iterdir())
