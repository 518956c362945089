"""Launchers' environment variables are understood, or refused with a fix."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import TrainingError
from nin_spec.training.launch import find_launch, first_host, tasks_on

MEET = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
SHELL = {k: v for k, v in SLURM.items() if "STEP" not in k} | {"SLURM_PROCID": "0"}
"""A batch script: Slurm names tasks, and srun has started none."""


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, (0, 1, None, None, "")),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (0, 1, 0, 1, "")),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"} | MEET, (3, 4, 1, 2, "node0")),
        ({"RANK": "1", "WORLD_SIZE": "2"} | MEET, (1, 2, None, None, "node0")),
        (SLURM, (3, 4, 1, 2, "gpu07")),
        (SLURM | {"MASTER_ADDR": "other"}, (3, 4, 1, 2, "other")),
        (SLURM | {"WORLD_SIZE": "4"}, (3, 4, 1, 2, "gpu07")),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "4", "SLURM_NODEID": "0"}, (3, 4, 1, 4, "127.0.0.1")),
        (SLURM | {"RANK": "0", "WORLD_SIZE": "2"} | MEET, (0, 2, None, None, "node0")),
        (SLURM | {"WORLD_SIZE": "1"}, (0, 1, 0, 1, "")),
        # An interactive step of one task, in an allocation of four.
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, (0, 1, None, None, "")),
        (SHELL | {"SLURM_NTASKS": "1"}, (0, 1, None, None, "")),
        (OPEN_MPI | MEET, (1, 2, None, None, "node0")),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"} | MEET, (1, 2, None, None, "node0")),
        ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"} | MEET, (1, 2, None, None, "node0")),
        ({"JSM_NAMESPACE_RANK": "1", "JSM_NAMESPACE_SIZE": "2"} | MEET, (1, 2, None, None, "node0")),
        ({"FLUX_TASK_RANK": "1", "FLUX_JOB_SIZE": "2"} | MEET, (1, 2, None, None, "node0")),
        # srun --mpi=pmi2 sets both; mpirun starts a daemon on each node as a task of Slurm's.
        (SLURM | {"PMI_RANK": "3", "PMI_SIZE": "4"}, (3, 4, 1, 2, "gpu07")),
        (SLURM | OPEN_MPI | MEET, (1, 2, None, None, "node0")),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, (0, 1, None, None, "")),
    ],
)
def test_the_processes_are_those_that_the_launcher_names(env: dict[str, str], found: tuple[object, ...]) -> None:
    launch = find_launch(env)
    assert (launch.rank, launch.size, launch.local, launch.neighbours, launch.address) == found


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"RANK": "first"}, "RANK=first is not a whole number"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "contradicts itself: RANK=2, WORLD_SIZE=2"),
        ({"RANK": "-1"}, "contradicts itself: RANK=-1"),
        ({"WORLD_SIZE": "0"}, "contradicts itself"),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "1"}, "contradicts itself"),
        ({"WORLD_SIZE": "2"}, "MASTER_ADDR and MASTER_PORT, where the processes connect, are not set"),
        ({"RANK": "0", "WORLD_SIZE": "2"} | MEET | {"MASTER_PORT": "99999"}, "MASTER_PORT=99999 is not a port"),
        (SLURM | {"SLURM_PROCID": "4"}, "contradicts itself: SLURM_PROCID=4"),
        (SLURM | {"WORLD_SIZE": "8"}, "WORLD_SIZE=8, but Slurm started 4 processes"),
        (SLURM | {"SLURM_STEP_NODELIST": "]["}, "do not name the first node"),
        (SHELL, "Slurm allocated 4 tasks, but this process was not started by srun"),
        (OPEN_MPI, "Open MPI started 2 processes, but MASTER_ADDR and MASTER_PORT"),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "MPI started 2 processes, but MASTER_ADDR"),
    ],
)
def test_what_would_train_apart_is_refused_with_a_fix(env: dict[str, str], words: str) -> None:
    with pytest.raises(TrainingError, match=words) as caught:
        find_launch(env)
    assert caught.value.diagnostics[0].hint


def test_all_tasks_of_a_step_meet_at_one_port_and_two_steps_do_not() -> None:
    ports = {
        find_launch(SLURM | {"SLURM_PROCID": str(rank), "SLURM_STEP_ID": step}).port
        for step in ("0", "1")
        for rank in range(4)
    }
    assert len(ports) == 2
    assert all(20_000 <= port < 30_000 for port in ports)


@given(st.dictionaries(st.sampled_from(sorted(SLURM | OPEN_MPI | MEET | {"RANK": "", "WORLD_SIZE": ""})), st.text()))
def test_odd_variables_are_a_launch_or_a_training_error(env: dict[str, str]) -> None:
    with suppress(TrainingError):
        launch = find_launch(env)
        assert 0 <= launch.rank < launch.size
        assert launch.size == 1 or launch.port > 0


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node1", "node1"),
        ("node[01-04,07],gpu1", "node01"),
        ("a[3,5-9]-b", "a3-b"),
        ("rack[0-1]n[2-3]", "rack0n2"),
        ("gpu1.cluster.org,gpu2", "gpu1.cluster.org"),
        ("", None),
        ("node[1-", None),
        ("[]", None),
    ],
)
def test_the_first_host_of_a_node_list(nodes: str, host: str | None) -> None:
    assert first_host(nodes) == host


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 5)), min_size=1, max_size=5))
def test_tasks_per_node_are_counted_as_slurm_writes_them(runs: list[tuple[int, int]]) -> None:
    text = ",".join(str(many) if times == 1 else f"{many}(x{times})" for many, times in runs)
    expected = [many for many, times in runs for _ in range(times)]
    assert [tasks_on(text, k) for k in range(len(expected))] == expected
    assert tasks_on(text, len(expected)) is None
