"""What goes wrong in a training, and what is left: killed, disk full, damaged, diverged, interrupted."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import TimeoutExpired

import numpy as np
import pytest
from PIL import Image
from small_parts import EVERYTHING, small_network, small_spec
from warm import Running

from nin_spec.diagnostics import DataError, DivergedError, ExportError, TrainingError, WeightsError
from nin_spec.training.begin import resume, train
from nin_spec.training.folder import open_run
from nin_spec.training.reporter import Pace, Row, Silent
from nin_spec.training.settings import TrainSettings
from nin_spec.weights import save

EPOCHS = "train.epochs=4"
ONE = TrainSettings(threads=1, checkpoint_minutes=0.001)
RESULTS = ("last.safetensors", "best.safetensors", "metrics.csv")


def started(*arguments: str) -> Running:
    """`nin-spec train ...` in a process of its own."""
    return Running(["train", *arguments], Path(), env={**os.environ, "OMP_NUM_THREADS": "1"}, merged=True)


def wait_for_steps(process: Running) -> None:
    """Until the training has begun."""
    for line in process.stdout:
        if line.startswith("run folder"):
            return
    pytest.fail("training ended before it began")


def arguments_of(folder: Path, spec: Path, batch: str) -> list[str]:
    """The arguments of a training long enough to be killed."""
    changes = ["--set", EPOCHS, "--set", f"train.batch_size={batch}"]
    return [str(spec), "-o", str(folder), *changes, "--threads", "1", "--checkpoint-minutes", "0.01"]


def killed_and_resumed(folder: Path, spec: Path, wait: Iterator[float | None]) -> int:
    """How often a training was killed before it came to its end: each time after so many seconds, None for never."""
    kills, arguments = 0, arguments_of(folder, spec, "16")
    while True:
        process = started(*arguments)
        wait_for_steps(process)
        try:
            process.wait(next(wait))
            break
        except TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        kills, arguments = kills + 1, [str(folder), "--resume"]
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return kills


def undisturbed(folder: Path, spec: Path) -> None:
    """The same training without a disturbance."""
    process = started(*arguments_of(folder, spec, "16"))
    output, _ = process.communicate()
    assert process.returncode == 0, output


def same_results(first: Path, second: Path) -> bool:
    """Equal bytes in all that a training came to."""
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in RESULTS)


def test_killed_twice_and_resumed_it_comes_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch, with batch norm and dropout."""
    spec = small_spec(tmp_path, "batch", 0.3)
    undisturbed(tmp_path / "whole", spec)
    assert killed_and_resumed(tmp_path / "killed", spec, iter([0.5, 0.5, None])) >= 1
    assert same_results(tmp_path / "whole", tmp_path / "killed")


def test_killed_with_every_augmentation_and_an_average_too(tmp_path: Path) -> None:
    """What is drawn follows from the epoch and the picture; the checkpoint holds the average beside the weights."""
    spec = tmp_path / "everything.yaml"
    spec.write_text(small_network("batch", 0.3, *EVERYTHING).spec.text)
    undisturbed(tmp_path / "whole", spec)
    assert killed_and_resumed(tmp_path / "killed", spec, iter([0.5, None])) >= 1
    assert same_results(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.long
def test_killed_twenty_times_at_random_moments(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, "batch", 0.3)
    undisturbed(tmp_path / "whole", spec)
    chance = np.random.default_rng(0)
    kills = runs = 0
    while kills < 20:
        runs += 1
        moments = iter(lambda: chance.uniform(0.0, 2.5), None)
        kills += killed_and_resumed(tmp_path / f"killed{runs}", spec, moments)
        assert same_results(tmp_path / "whole", tmp_path / f"killed{runs}")


def test_killed_before_the_first_checkpoint_it_begins_again(tmp_path: Path) -> None:
    train(small_network(), output=tmp_path / "whole", settings=ONE)
    train(small_network(), output=tmp_path / "run", settings=ONE, stop=StopAfter(1))
    for name in ("checkpoints", "last.safetensors"):
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    resume(tmp_path / "run")
    assert same_results(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_finishes_the_step_and_says_how_to_continue(tmp_path: Path, number: int, code: int) -> None:
    process = started(*arguments_of(tmp_path / "run", small_spec(tmp_path), "16"))
    wait_for_steps(process)
    time.sleep(0.3)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == code, output
    assert f"nin-spec train {tmp_path / 'run'} --resume" in output
    assert "Traceback" not in output
    assert open_run(tmp_path / "run").record.status == "interrupted"


class StopAfter:
    """Asks to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_interrupted_within_an_epoch_and_resumed_it_comes_to_the_same(tmp_path: Path) -> None:
    network = small_network("batch", 0.3)
    train(network, output=tmp_path / "whole", settings=ONE)
    stopped = train(network, output=tmp_path / "stopped", settings=ONE, stop=StopAfter(15))
    assert stopped.record.status == "interrupted"
    assert resume(tmp_path / "stopped").record.status == "finished"
    assert same_results(tmp_path / "whole", tmp_path / "stopped")


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_serves(tmp_path: Path) -> None:
    network = small_network()
    train(network, output=tmp_path / "whole", settings=ONE)
    train(network, output=tmp_path / "run", settings=ONE, stop=StopAfter(9))
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    listener = Listener()
    resume(tmp_path / "run", reporter=listener)
    assert any(newest.name in m and "using the one before it" in m for m in listener.heard)
    assert same_results(tmp_path / "whole", tmp_path / "run")


class Listener(Silent):
    """Remembers what was logged."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def logged(self, message: str) -> None:
        """Remember it."""
        self.heard.append(message)


def test_a_loss_that_is_not_finite_stops_names_the_step_and_keeps_good_weights(tmp_path: Path) -> None:
    network = small_network("none", 0.0, "train.optimizer.lr=1e5", "defaults.activation=leaky_relu")
    with pytest.raises(DivergedError) as caught:
        train(network, output=tmp_path / "run", settings=ONE)
    assert caught.value.exit_code == 1
    message = caught.value.diagnostics[0].message
    assert "step " in message
    run = open_run(tmp_path / "run")
    assert run.record.status == "diverged"
    for array in run.model().weights.values():
        assert abs(array).max() < 1e30


def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(small_network(), output=tmp_path / "whole", settings=ONE)
    train(small_network(), output=tmp_path / "run", settings=ONE, stop=StopAfter(5))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run" / "checkpoints").iterdir()}

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(ExportError, match="No space left on device"):
            resume(tmp_path / "run")
    after = {p.name: p.read_bytes() for p in (tmp_path / "run" / "checkpoints").iterdir()}
    assert after == before
    resume(tmp_path / "run")
    assert same_results(tmp_path / "whole", tmp_path / "run")


def folder_of_pictures(root: Path, count: int) -> Path:
    """Pictures of two classes, in a train and a test split."""
    noise = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("dark", "light"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = noise.integers(0, 128, (8, 8), np.uint8) + (128 if name == "light" else 0)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{k}.png")
    return root


LIGHTS = ("classes=2", "train.dataset=lights", "train.batch_size=10")


def test_files_that_are_not_pictures_are_all_named_before_there_is_a_folder(tmp_path: Path) -> None:
    """By their headers, in what is learned from and what is scored on."""
    pictures = folder_of_pictures(tmp_path / "pictures", 20)
    for name in ("train/light/7.png", "train/dark/3.png", "test/dark/1.png"):
        (pictures / name).write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    with pytest.raises(DataError) as caught:
        train(small_network("none", 0.0, *LIGHTS), data=pictures, output=tmp_path / "run", settings=ONE)
    assert len(caught.value.diagnostics) == 3
    assert caught.value.diagnostics[-1].hint == (
        f"3 damaged files: repair or move them; nin-spec data check {pictures} decodes every picture"
    )
    assert not (tmp_path / "run").exists()


def cut_short(picture: Path) -> bytes:
    """Damage a picture behind its header; its bytes before."""
    whole = picture.read_bytes()
    picture.write_bytes(whole[:60])
    return whole


def test_a_picture_that_breaks_before_anything_is_learned_leaves_no_folder(tmp_path: Path) -> None:
    """The same command works again when it is mended."""
    pictures = folder_of_pictures(tmp_path / "pictures", 100)
    cut_short(pictures / "train" / "light" / "57.png")
    network = small_network("none", 0.0, *LIGHTS)
    with pytest.raises(DataError, match=r"light/57\.png") as caught:
        train(network, data=pictures, output=tmp_path / "run", settings=TrainSettings(threads=1))
    assert "no step was done yet" in str(caught.value)
    assert f"nin-spec data check {pictures} lists every such picture" in str(caught.value)
    assert not (tmp_path / "run").exists()


class Vandal(Silent):
    """Damages a picture when the first epoch is done."""

    def __init__(self, picture: Path) -> None:
        self.picture, self.whole = picture, b""

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """Once."""
        self.whole = self.whole or cut_short(self.picture)


def test_a_picture_that_breaks_later_leaves_what_was_learned(tmp_path: Path) -> None:
    """Mended, the run resumes and ends as it would have."""
    pictures = folder_of_pictures(tmp_path / "pictures", 100)
    network = small_network("none", 0.0, *LIGHTS, "train.epochs=3")
    train(network, data=pictures, output=tmp_path / "whole", settings=ONE)
    vandal = Vandal(pictures / "train" / "light" / "57.png")
    with pytest.raises(DataError, match="progress is kept"):
        train(network, data=pictures, output=tmp_path / "run", settings=ONE, reporter=vandal)
    assert open_run(tmp_path / "run").record.status == "interrupted"
    vandal.picture.write_bytes(vandal.whole)
    resume(tmp_path / "run")
    assert same_results(tmp_path / "whole", tmp_path / "run")


def test_weights_that_do_not_fit_leave_no_folder(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError):
        train(small_network(), output=tmp_path / "run", settings=ONE, weights=tmp_path / "w.safetensors")
    assert not (tmp_path / "run").exists()


def test_untrained_weights_are_not_offered_to_go_on_from(tmp_path: Path) -> None:
    """Where the data is other data: the run's weights if it learned something, its spec if not."""
    for name, steps, offered in (("fresh", 0, "start again: "), ("some", 5, f"--weights {tmp_path / 'some'}")):
        path = train(small_network(), output=tmp_path / name, settings=ONE, stop=StopAfter(max(steps, 1))).path
        if not steps:
            save(
                path / "last.safetensors", small_network().initialise(3).weights, {"nin_spec.weights": "fresh, seed 3"}
            )
        text = (path / "run.json").read_text()
        (path / "run.json").write_text(re.sub(r'"train_fingerprint": "\w+"', '"train_fingerprint": "0"', text))
        with pytest.raises(TrainingError, match="differs from what it was trained on") as caught:
            resume(path)
        assert offered in str(caught.value)
        assert f"nin-spec train {path}/spec.yaml" in str(caught.value)


def test_an_empty_class_folder_is_refused_before_training(tmp_path: Path) -> None:
    pictures = folder_of_pictures(tmp_path / "pictures", 3)
    (pictures / "train" / "none").mkdir()
    network = small_network("none", 0.0, "classes=3", "train.dataset=lights")
    with pytest.raises(DataError, match="has no pictures"):
        train(network, data=pictures, output=tmp_path / "run", settings=ONE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["spec.yaml", "run.json"])
def test_a_changed_run_folder_is_refused(tmp_path: Path, name: str) -> None:
    train(small_network(), output=tmp_path / "run", settings=ONE, stop=StopAfter(5))
    path = tmp_path / "run" / name
    path.write_text(path.read_text().replace("kernel: 3", "kernel: 1").replace('"seed"', '"sed"'))
    with pytest.raises(TrainingError, match="can't be used as a run"):
        resume(tmp_path / "run")
