"""A training from a spec to a run folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_parts import SMALL, small_network

import nin_spec
from nin_spec.data import Frame, fingerprint, open_split
from nin_spec.diagnostics import DataError, TrainingError
from nin_spec.network import Network
from nin_spec.torch_module import build_module
from nin_spec.training.begin import resume, train
from nin_spec.training.feed import Feed
from nin_spec.training.folder import FILES, Run, open_run, read_rows
from nin_spec.training.reporter import Silent
from nin_spec.training.sets import open_run_split
from nin_spec.training.settings import TrainSettings

ONE = TrainSettings(threads=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One finished run."""
    return train(small_network("batch", 0.2), output=tmp_path_factory.mktemp("runs") / "small", settings=ONE)


@pytest.mark.floors
def test_a_run_folder_holds_everything(run: Run) -> None:
    assert {path.name for path in run.path.iterdir() if path.is_file()} - {".lock"} == FILES
    assert list((run.path / "tensorboard").glob("events*"))
    assert run.record.status == "finished"
    assert run.record.hash == run.network.hash == small_network("batch", 0.2).hash
    assert run.record.data.train_images + run.record.data.scored_images == 1797
    assert run.record.settings.precision == "float32"
    assert run.record.versions["torch"] == torch.__version__
    assert run.record.versions["nin-spec"] == nin_spec.__version__
    assert not list(run.path.rglob("*.part"))


def test_the_rows_tell_each_epoch(run: Run) -> None:
    rows = read_rows(run.path / "metrics.csv")
    assert [r["epoch"] for r in rows] == [1, 2]
    assert rows[1]["train_loss"] < rows[0]["train_loss"]
    assert rows[-1] == run.record.final
    assert len(read_rows(run.path / "timings.csv")) == 2


def test_the_class_names_of_the_data_set_come_with_the_run(run: Run) -> None:
    """The spec only counted them."""
    assert run.network.card.labels == tuple("0123456789")


def test_the_run_s_model_scores_what_its_last_row_says(run: Run) -> None:
    """The kept weights are those that were measured, after a way through the file."""
    split = open_split("digits", "test")
    module = build_module(run.model())
    feed = Feed(run.network.card.preprocessing, 1, torch.float32, torch.device("cpu"), torch.contiguous_format)
    with torch.no_grad():
        guesses = module(feed(split.pictures(np.arange(len(split)), Frame(1, 8, 8)))).argmax(1).numpy()
    assert (guesses == split.labels).mean() == pytest.approx(run.record.final["test_accuracy"])


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(run: Run, tmp_path: Path) -> None:
    again = train(small_network("batch", 0.2), output=tmp_path / "again", settings=ONE)
    other = train(small_network("batch", 0.2, "train.seed=4"), output=tmp_path / "other", settings=ONE)
    weights = [(r.path / "last.safetensors").read_bytes() for r in (run, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_weights_say_how_far_they_were_trained(tmp_path: Path) -> None:
    """An interruption is reported wherever the weights are used; what was never trained is fresh."""
    network = small_network()
    stopped = train(network, output=tmp_path / "run", settings=ONE, stop=lambda: True)
    assert stopped.model().card.weights == "trained on digits, 1 of 22 steps, seed 3"
    assert "not finished (interrupted" in stopped.remarks[1]
    never = train(small_network("none", 0.0, "train.epochs=1"), output=tmp_path / "other", settings=ONE)
    assert len(never.remarks) == 1
    assert never.model().card.weights == "trained on digits, 11 of 11 steps, seed 3"


def test_a_finished_run_resumed_stays_as_it_is(run: Run) -> None:
    before = (run.path / "last.safetensors").read_bytes()
    assert resume(run.path).record == run.record
    assert (run.path / "last.safetensors").read_bytes() == before


def test_the_best_epoch_is_chosen_on_a_validation_split(tmp_path: Path) -> None:
    network = small_network("batch", 0.0, "train.validation=0.2", "train.epochs=4")
    run = train(network, output=tmp_path / "run", settings=ONE)
    rows = read_rows(run.path / "metrics.csv")
    assert "validation_accuracy" in rows[0]
    assert "test_accuracy" not in rows[0]
    assert run.record.result == "best.safetensors"
    assert run.record.data.train_images == pytest.approx(1438 * 0.8, abs=10)
    best = max(rows, key=lambda row: row["validation_accuracy"])
    assert run.result == run.record.best == best
    share = f"{best['validation_accuracy']:.2%} of 288 pictures"
    assert run.record.chosen == f"epoch {best['epoch']:g}, the best on the validation split ({share})"
    assert run.remarks[0].endswith(f"from {run.record.chosen}")


@pytest.mark.parametrize(("share", "limit"), [("0.2", 2), ("0.001", 100)])
def test_an_empty_validation_split_is_refused_before_a_folder_is_made(tmp_path: Path, share: str, limit: int) -> None:
    """It would be found when the first epoch is scored."""
    network = small_network("none", 0.0, f"train.validation={share}")
    with pytest.raises((TrainingError, DataError), match=r"is zero pictures|too few"):
        trained(network, tmp_path / "run", limit=limit)
    assert not (tmp_path / "run").exists()


def test_an_empty_test_split_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    data = tmp_path / "digits.npz"
    pictures, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 10
    np.savez(data, x_train=pictures, y_train=labels, x_test=pictures[:10], y_test=labels[:10])
    with pytest.raises(DataError, match="too few pictures per class"):
        trained_on(data, tmp_path / "run", limit=5)
    assert not (tmp_path / "run").exists()


def trained_on(data: Path, path: Path, **settings: object) -> Run:
    """A run on other data."""
    return train(small_network(), data=str(data), output=str(path), settings=TrainSettings(threads=1, **settings))  # type: ignore[arg-type]


def test_what_a_run_learned_from_and_chose_by_can_be_opened_again(tmp_path: Path) -> None:
    """The division is a function of the recipe and the data."""
    run = train(small_network("none", 0.0, "train.validation=0.2"), output=tmp_path / "run", settings=ONE)
    learned, held, test = (open_run_split(run, role) for role in ("train", "validation", "test"))
    assert fingerprint(learned) == run.record.data.train_fingerprint
    assert (len(held), len(test)) == (run.record.data.scored_images, 359)
    other = train(small_network(), output=tmp_path / "other", settings=ONE)
    with pytest.raises(TrainingError, match="has no validation split"):
        open_run_split(other, "validation")


def test_places_may_be_text_and_weights_a_run(tmp_path: Path, run: Run) -> None:
    network = small_network("batch", 0.2, "train.optimizer.lr=0")
    found = train(network, output=str(tmp_path / "run"), settings=ONE, weights=str(run.path))
    assert found.record.started_from == str(run.path / "last.safetensors")
    ours, theirs = found.model().weights, network.with_weights(run.path).weights
    assert all(np.array_equal(ours[n], theirs[n]) for n in ours if n.endswith(".weight"))


def test_what_is_not_a_network_is_a_type_error_that_says_how_to_make_one() -> None:
    with pytest.raises(TypeError, match=r"nin_spec\.compile"):
        train("shapes.yaml")  # type: ignore[arg-type]


def test_data_that_is_not_what_its_name_says_is_reported_at_the_start(tmp_path: Path) -> None:
    heard: list[str] = []

    class Listener(Silent):
        def logged(self, message: str) -> None:
            heard.append(message)

    data = tmp_path / "digits.npz"
    pictures, labels = np.zeros((200, 8, 8), np.uint8), np.arange(200) % 10
    np.savez(data, x_train=pictures, y_train=labels, x_test=pictures[:20], y_test=labels[:20])
    train(small_network(), data=data, output=tmp_path / "run", settings=ONE, reporter=Listener())
    assert heard[0] == f"{data} has 200 pictures (train), but Handwritten digits of 8x8 pixels has 1,438"


def test_without_one_the_result_is_the_last_epoch(run: Run) -> None:
    """Choosing an epoch by its test accuracy would be learning from the test split."""
    assert run.record.result == "last.safetensors"
    assert run.record.chosen == "the last epoch"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.dataset=digit"], "digit"),
        (["classes=7"], "10 classes"),
        (["train.resize=6"], "smaller than the input"),
        (["input.channels=2"], "1 or 3 channels"),
    ],
)
def test_what_can_t_be_followed_is_refused_before_a_folder_is_made(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises((TrainingError, DataError), match=message):
        train(small_network("none", 0.0, "train.augment.pad_and_crop=0", *overrides), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_spec_without_a_recipe_is_refused_at_its_place(tmp_path: Path) -> None:
    text = (SMALL % ("none", 0)).partition("train:")[0]
    with pytest.raises(TrainingError, match="has no recipe"):
        train(nin_spec.compile(nin_spec.loads(text)), output=tmp_path / "run")


def test_a_folder_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(TrainingError, match="exists already"):
        train(small_network(), output=tmp_path, settings=ONE)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_other_data_is_noticed_when_a_run_is_resumed(tmp_path: Path) -> None:
    run = train(small_network(), output=tmp_path / "run", settings=ONE)
    record = json.loads((run.path / "run.json").read_text())
    record["data"]["train_fingerprint"] = "0" * 64
    (run.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(TrainingError, match="differs from what it was trained on"):
        resume(run.path)


def trained(network: Network, path: Path, **settings: object) -> Run:
    """A run with other settings."""
    return train(network, output=path, settings=TrainSettings(threads=1, **settings))  # type: ignore[arg-type]


def test_a_limit_takes_of_each_class_alike(tmp_path: Path) -> None:
    run = trained(small_network(), tmp_path / "run", limit=200)
    assert run.record.data.train_images == pytest.approx(200, abs=10)


def test_training_starts_from_given_weights(run: Run, tmp_path: Path) -> None:
    network = small_network("batch", 0.2, "train.optimizer.lr=0")
    found = train(network, output=tmp_path / "run", settings=ONE, weights=run.path / "last.safetensors")
    ours, theirs = found.model().weights, run.model().weights
    assert all(np.array_equal(ours[n], theirs[n]) for n in ours if n.endswith(".weight"))


def test_bfloat16_and_channels_first_learn_too(tmp_path: Path) -> None:
    network = small_network("batch", 0.2, "train.batch_size=256", "train.epochs=1")
    run = trained(network, tmp_path / "a", precision="bfloat16", channels_last=False, limit=300)
    assert open_run(run.path).record.settings.precision == "bfloat16"
    assert all(a.dtype == np.float32 for a in run.model().weights.values())


def test_a_head_that_gives_probabilities_trains_on_its_scores(tmp_path: Path) -> None:
    """Softmax comes after the scores that the loss takes; the learning is that of the bare network."""
    spec = (SMALL % ("none", 0)).replace("{pool: global_avg}", "{pool: global_avg, output: softmax}")
    plain = train(small_network(), output=tmp_path / "plain", settings=ONE)
    with_softmax = train(nin_spec.compile(nin_spec.loads(spec)), output=tmp_path / "softmax", settings=ONE)
    assert (plain.path / "metrics.csv").read_bytes() == (with_softmax.path / "metrics.csv").read_bytes()
