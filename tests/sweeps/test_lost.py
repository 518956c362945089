"""What a lost process leaves behind is resumed: every trial ends once, and no training begins twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import optuna
import pytest
from sweep_files import SMALL, written

from nin_spec import children
from nin_spec.sweeps.begin import Begun, begin
from nin_spec.sweeps.folder import Settings, trial_lock
from nin_spec.sweeps.load import load
from nin_spec.sweeps.results import of_study, results
from nin_spec.sweeps.store import opened, reap, training_elsewhere
from nin_spec.training.folder import open_run


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    """A sweep folder in which nothing is trained yet."""
    return begin(load(written(tmp_path)), tmp_path / "out", Settings())


def begin_trial(begun: Begun) -> int:
    """A trial as a worker leaves it that was killed while it trained."""
    trial = begun.study.ask()
    trial.set_user_attr("at", begun.record.token)
    trial.suggest_categorical("train.optimizer.lr", ["0.1", "0.2"])
    trial.suggest_int("$width", 8, 32, step=8)
    trial.set_user_attr("folder", "runs/0000")
    return trial.number


def states_of(begun: Begun) -> list[str]:
    """The state of each trial."""
    return [trial.state.name for trial in begun.study.get_trials(deepcopy=False)]


def test_a_lost_trial_waits_to_be_resumed_in_its_folder(begun: Begun) -> None:
    """Once, however often it is looked for; its parameters are kept."""
    begin_trial(begun)
    assert reap(begun.study, begun.folder, begun.record) == 1
    assert reap(begun.study, begun.folder, begun.record) == 0
    assert states_of(begun) == ["FAIL", "WAITING"]
    lost, again = begun.study.get_trials()
    assert again.params == lost.params
    assert again.user_attrs["folder"] == "runs/0000"
    assert begun.study.ask().number == again.number
    assert [t.number for t in of_study(begun.folder, begun.record, begun.sweep, begun.study).trials] == [1]


def test_a_trial_in_training_is_left_alone(begun: Begun) -> None:
    """Its process holds its lock."""
    with trial_lock(begun.folder, begin_trial(begun)):
        assert reap(begun.study, begun.folder, begun.record) == 0
    assert states_of(begun) == ["RUNNING"]


def test_a_trial_of_another_machine_is_left_alone(begun: Begun) -> None:
    """Its locks are elsewhere; Optuna's heartbeat looks after it."""
    begun.study.ask().set_user_attr("at", "another")
    assert reap(begun.study, begun.folder, begun.record) == 0
    assert states_of(begun) == ["RUNNING"]


def test_candidates_that_others_train_are_counted(begun: Begun) -> None:
    """So that two machines do not train one too many; not those of this folder, which it counts itself."""
    begin_trial(begun)
    begun.study.ask().set_user_attr("at", "another")
    begun.study.ask()
    assert training_elsewhere(begun.study.get_trials(), begun.record) == 1


def test_a_trial_that_had_not_begun_is_only_ended(begun: Begun) -> None:
    """The sampler chooses the same again, as if it had never been asked."""
    begun.study.ask()
    assert reap(begun.study, begun.folder, begun.record) == 0
    assert states_of(begun) == ["FAIL"]


def test_a_trial_that_failed_for_what_it_is_is_not_repeated(begun: Begun) -> None:
    """Its outcome is known."""
    number = begin_trial(begun)
    study = opened(begun.folder, begun.record)
    study.tell(number, state=optuna.trial.TrialState.FAIL)
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"outcome": "diverged"}))
    assert reap(study, begun.folder, begun.record) == 1
    assert states_of(begun) == ["FAIL", "FAIL", "WAITING"]


LONG = SMALL.replace("train.epochs: 1", "train.epochs: 60").replace("trials: 3", "trials: 2")


def command(folder: Path) -> list[str]:
    """The command that sweeps in a process of its own."""
    words = ["sweep", str(folder / "small.sweep.yaml"), "-o", str(folder / "out"), "--limit", "400", "--threads", "1"]
    return list(children.python("-m", "nin_spec", *words, "--device", "cpu"))


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep of long trainings, in its first one."""
    written(tmp_path, LONG)
    process = subprocess.Popen(command(tmp_path), env=children.environment(), stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not any((tmp_path / "out").glob("runs/*/checkpoints/*")):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that train."""
    lists = Path(f"/proc/{process.pid}/task").glob("*/children")
    found = [pid for each in lists for pid in each.read_text().split()]
    return [int(p) for p in found if b"nin_spec.sweeps.worker" in Path(f"/proc/{p}/cmdline").read_bytes()]


def states(folder: Path) -> list[str]:
    """The state of each trial."""
    return [trial.state.name for trial in results(folder / "out").study.get_trials(deepcopy=False)]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs the processes of Linux")
def test_a_worker_that_is_killed_is_replaced_and_its_run_resumes(
    started: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """In the same run folder; every trial ends, and none is trained twice."""
    (worker,) = workers_of(started)
    os.kill(worker, signal.SIGKILL)
    assert started.wait(240) == 0
    result = results(tmp_path / "out")
    assert result.counts["trained"] == 2
    assert set(states(tmp_path)) <= {"COMPLETE", "PRUNED", "FAIL"}
    assert sorted(path.name for path in (tmp_path / "out/runs").iterdir()) == sorted(
        trial.folder.name for trial in result.trained if trial.folder
    )
    assert result.trained[0].folder == tmp_path / "out/runs/0000"
    assert result.trained[0].number > 0


@pytest.mark.long
def test_ctrl_c_keeps_a_checkpoint_and_leaves_nothing_running(started: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The interrupted trial waits to be resumed; the same command ends it as if nothing had happened."""
    started.send_signal(signal.SIGINT)
    assert started.wait(120) == 130
    assert states(tmp_path) == ["FAIL", "WAITING"]
    (folder,) = (tmp_path / "out/runs").iterdir()
    run_before = open_run(folder)
    assert run_before.record.status == "interrupted"
    done = subprocess.run(command(tmp_path), env=children.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "1 interrupted candidate resumes" in done.stderr
    result = results(tmp_path / "out")
    assert result.counts["trained"] == 2
    assert result.trained[0].folder == folder
    shutil.move(tmp_path / "out", tmp_path / "first")
    undisturbed = subprocess.run(command(tmp_path), env=children.environment(), capture_output=True, check=False)
    assert undisturbed.returncode == 0
    other = results(tmp_path / "out")
    assert [(t.changes, t.values) for t in result.trained] == [(t.changes, t.values) for t in other.trained]


@pytest.mark.long
def test_a_sweep_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Leader and worker, at random moments: each trial ends once, no run begins twice, and the results are equal."""
    rng = Random(7)  # noqa: S311 not for secrets
    text = LONG.replace("epochs: 60", "epochs: 20").replace("trials: 2", "trials: 5")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        written(tmp_path / folder, text)
    kills, code = 0, None
    while code is None:
        process = subprocess.Popen(command(tmp_path / "a"), env=children.environment(), stderr=subprocess.DEVNULL)
        try:
            code = process.wait(rng.uniform(1, 9) if kills < 20 else None)
        except subprocess.TimeoutExpired:
            workers = workers_of(process)
            if kills % 2 and workers:
                os.kill(workers[0], signal.SIGKILL)
                time.sleep(rng.uniform(0, 4))
            process.kill()
            process.wait()
            kills += 1
    assert code == 0
    assert kills > 3
    undisturbed = subprocess.run(command(tmp_path / "b"), env=children.environment(), capture_output=True, check=False)
    assert undisturbed.returncode == 0
    a, b = results(tmp_path / "a" / "out"), results(tmp_path / "b" / "out")
    assert set(states(tmp_path / "a")) <= {"COMPLETE", "PRUNED", "FAIL"}
    assert [(t.changes, t.values) for t in a.trained] == [(t.changes, t.values) for t in b.trained]
    assert len(list((tmp_path / "a/out/runs").iterdir())) == len(list((tmp_path / "b/out/runs").iterdir()))
