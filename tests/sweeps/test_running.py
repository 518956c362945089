"""A sweep from its file to its results: what is trained, counted, resumed and handed back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from sweep_files import SMALL, written

import nin_spec
from nin_spec.diagnostics import Code, Source, SweepError
from nin_spec.language import load as language
from nin_spec.language.document import plain
from nin_spec.language.emit import emit
from nin_spec.named import is_run
from nin_spec.sweeps.axes import Axis, Param, choose
from nin_spec.sweeps.begin import begin, run
from nin_spec.sweeps.best import changes, spec_of
from nin_spec.sweeps.candidates import candidate, identity_of
from nin_spec.sweeps.folder import Settings
from nin_spec.sweeps.load import load
from nin_spec.sweeps.results import SweepResult, results
from nin_spec.training.folder import open_run

LITTLE = Settings(limit=40, device="cpu")


def swept(folder: Path, text: str = SMALL, trials: int | None = None) -> SweepResult:
    """The results of a sweep in a folder, one worker, one thread."""
    begun = begin(load(written(folder, text)), folder / "out", LITTLE)
    return run(begun, threads=1, trials=trials)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A finished sweep."""
    return swept(tmp_path_factory.mktemp("sweep"))


def test_as_many_candidates_are_trained_as_asked(done: SweepResult) -> None:
    """Each into a light run folder of its own, on as many pictures as asked."""
    assert done.counts["trained"] == 3
    for trial in done.trained:
        assert trial.folder is not None
        record = open_run(trial.folder).record
        assert record.status == "finished"
        assert record.hash == trial.hash
        assert record.data.train_images + record.data.scored_images == 40
        assert not (trial.folder / "curves.png").exists()
        assert not (trial.folder / "tensorboard").exists()
        assert trial.values == {"validation_accuracy": record.best["validation_accuracy"], "macs": trial.facts["macs"]}


def test_what_does_not_fit_or_repeats_another_is_not_trained(tmp_path: Path) -> None:
    """All of a space: six candidates are trained, each once, and what was refused is counted with its reason."""
    result = swept(tmp_path, SMALL.replace("sweep: 1", "sweep: 1\nsampler: grid"), trials=100)
    assert result.counts == {"trained": 6, "limit": 2}
    assert len({trial.identity for trial in result.trained}) == 6
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 6
    assert {trial.why for trial in result.trials if trial.outcome == "limit"} == {"macs 1.07 times the limit"}


def test_the_same_call_resumes(done: SweepResult) -> None:
    """A finished sweep is left alone; with more trials, it continues."""
    file = Path(done.record.file)
    before = {path: path.stat().st_mtime_ns for path in (done.folder / "runs").rglob("*.safetensors")}
    again = nin_spec.sweep(file, done.folder, threads=1)
    assert [t.as_dict() for t in again.trials] == [t.as_dict() for t in done.trials]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_folder_of_another_sweep_is_refused(done: SweepResult, tmp_path: Path) -> None:
    """Only what does not change the results may differ."""
    changed = load(written(tmp_path, SMALL.replace("epochs: 1", "epochs: 2")))
    with pytest.raises(SweepError, match="it is of another sweep") as caught:
        begin(changed, done.folder, LITTLE)
    assert caught.value.diagnostics[0].code is Code.SWEEP_UNUSABLE
    begin(load(written(tmp_path, SMALL.replace("trials: 3", "trials: 9"), "small.sweep.yaml")), done.folder, LITTLE)
    begin(load(done.record.file), done.folder, LITTLE)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """And nothing in it changes."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(SweepError, match="was not made by nin-spec sweep"):
        swept(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_front_has_no_dominated_candidate(done: SweepResult) -> None:
    """And every other one is dominated, or equal to one of it."""
    front = done.front
    assert front
    for trial in done.trained:
        a, m = trial.values["validation_accuracy"], trial.values["macs"]
        better = [t for t in front if t.values["validation_accuracy"] >= a and t.values["macs"] <= m]
        assert better
        assert trial not in front or better == [trial]
    assert done.best("macs").values["macs"] == min(t.values["macs"] for t in done.trained)
    with pytest.raises(SweepError, match="'mac' is not an objective"):
        done.best("mac")


@pytest.mark.parametrize("place", ["best.yaml", "deep/er/best.yaml", None])
def test_each_trial_as_a_spec_is_the_same_training(done: SweepResult, place: str | None, tmp_path: Path) -> None:
    """It extends the base, wherever it lies."""
    for trial in done.trained:
        target = None if place is None else tmp_path / place
        text = spec_of(done, trial, target)
        assert "extends: nin_digits\n" in text
        file = tmp_path / (place or "x.yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        network = nin_spec.compile(file)
        assert network.hash == trial.hash
        assert identity_of(network) == trial.identity


KINDS = SMALL.replace(
    "  train.optimizer.lr: [0.1, 0.2]\n",
    """\
  blocks.mlpconv1.pool: [{kind: avg, kernel: 2}, {kind: max, kernel: 3, stride: 2}, none]
  blocks.mlpconv2: [null, {dropout: null}]
  blocks.mlpconv3.norm: [none, batch]
  train.optimizer: [{kind: adamw, lr: 0.01}, {kind: sgd, momentum: 0.5}]
  train.augment: [{}, null]
""",
).replace(
    "  blocks.mlpconv1.channels: [[$width, $width]]",
    "  blocks.mlpconv1.convs: [[$width, {channels: $width, bias: true}]]",
)


def _given(values: Mapping[str, Param], axis: Axis) -> Param:
    return values[axis.key]


def test_any_change_can_be_written_as_a_spec(tmp_path: Path) -> None:
    """Kinds that change, keys and blocks that go, another spelling of the convolutions: compiled, not trained."""
    sweep = load(written(tmp_path, KINDS))
    base = plain(sweep.base)
    for values in product(*(axis.grid() for axis in sweep.axes if axis.key != "$width")):
        given = dict(zip((axis.key for axis in sweep.axes if axis.key != "$width"), values, strict=True)) | {
            "$width": 8
        }
        found = candidate(sweep, choose(sweep.axes, partial(_given, given)))
        body = {"spec": 1, "extends": "nin_digits", **changes(base, plain(found.tree))}
        again = nin_spec.compile(language.load_source(Source("x.yaml", emit(body, compact=True))))
        assert identity_of(again) == found.identity, emit(body, compact=True)


def test_a_base_that_changed_is_not_the_one_that_was_trained(tmp_path: Path) -> None:
    """A spec of it would not be the trial's."""
    (tmp_path / "mine.yaml").write_text("spec: 1\nextends: nin_digits\nname: mine\n")
    text = SMALL.replace("base: nin_digits", "base: ./mine.yaml")
    result = swept(tmp_path, text, trials=1)
    assert 'extends: "mine.yaml"\n' in spec_of(result, result.best(), tmp_path / "best.yaml")
    assert 'extends: "../mine.yaml"\n' in spec_of(result, result.best(), tmp_path / "out" / "best.yaml")
    (tmp_path / "mine.yaml").write_text("spec: 1\nextends: nin_digits\nname: mine\ndefaults: {activation: silu}\n")
    later = results(tmp_path / "out")
    with pytest.raises(SweepError, match="was trained from another base"):
        spec_of(later, later.best(), tmp_path / "best.yaml")


def test_results_are_plain_data(done: SweepResult) -> None:
    """Without NaN."""
    text = json.dumps(done.as_dict(), allow_nan=False)
    assert json.loads(text)["counts"]["trained"] == 3
    assert all(is_run(trial["folder"]) for trial in json.loads(text)["trials"] if trial["folder"])
