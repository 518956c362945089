"""nin-spec calibrate: one temperature for a run, used by everything that opens it, and in the files that it exports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from answers import answer

import nin_spec as library
from nin_spec.cli import execute
from nin_spec.evaluation import evaluate
from nin_spec.training.folder import open_run
from nin_spec.weights import save

Run = Callable[..., Any]
SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.4}}
classes: 10
defaults: {init: kaiming_normal, norm: batch}
blocks:
  - {channels: [16, 16], kernel: 3, padding: 1, pool: {kind: max, kernel: 2, stride: 2}}
  - {channels: [32, classes], kernel: 3, padding: 1}
train:
  dataset: digits
  epochs: 4
  validation: 0.2
  label_smoothing: 0.2
  optimizer: {kind: adam, lr: 0.02}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has a validation split, and a calibrated copy of it."""
    folder = tmp_path_factory.mktemp("calibrate")
    (folder / "small.yaml").write_text(SPEC)
    assert execute(["train", str(folder / "small.yaml"), "-o", str(folder / "plain"), "--device", "cpu"]) == 0
    shutil.copytree(folder / "plain", folder / "run")
    assert execute(["calibrate", str(folder / "run"), "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, being the working folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_what_it_changes_is_reported(nin_spec: Run) -> None:
    """Before and after, on the validation split, as text and as a document; evaluate measures the same."""
    found = answer(nin_spec("calibrate", "plain", "--format", "json", "--device", "cpu"))
    assert found["images"] == found["same_class"] == 288
    assert found["after"]["ece"] < found["before"]["ece"] / 2
    assert found["after"]["loss"] < found["before"]["loss"]
    assert found["after"]["accuracy"] == found["before"]["accuracy"]
    stored = json.loads(Path("plain/temperature.json").read_text())
    assert stored["temperature"] == found["temperature"] < 1
    measured = answer(nin_spec("evaluate", "plain", "--split", "validation", "--format", "json"))
    assert measured["ece"] == pytest.approx(found["after"]["ece"], abs=1e-6)
    assert measured["model"]["temperature"] == found["temperature"]
    text = nin_spec("calibrate", "plain", "--device", "cpu").out
    assert text.startswith(f"temperature {found['temperature']:g}, fitted on 288 validation pictures\n")
    assert "the same class is predicted for 288 of 288 pictures" in text


@pytest.mark.usefixtures("here")
def test_the_accuracy_is_unchanged_to_the_picture(nin_spec: Run) -> None:
    """On the test split: every count of the confusion, with a smaller error of calibration."""
    plain, calibrated = (answer(nin_spec("evaluate", name, "--format", "json")) for name in ("plain", "run"))
    assert calibrated["confusion"] == plain["confusion"]
    assert calibrated["ece"] < plain["ece"] / 2
    assert calibrated["agreement"]["same"] == 359
    assert " at temperature 0." in nin_spec("evaluate", "run").out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--outputs", "probabilities,top3"],
        ["--takes", "pixels", "--outputs", "scores,maps"],
        ["--without", "fold_temperature"],
    ],
)
def test_an_exported_file_has_it(options: list[str], nin_spec: Run) -> None:
    """Proved, said by its card, evaluated by itself and beside the weights that it was made from."""
    outcome = nin_spec("export", "run", "--onnx", "m.onnx", *options)
    assert outcome.code == 0
    value = open_run("run").temperature
    assert value is not None
    assert f"calibrated: the scores are divided by the temperature {value:g}" in outcome.err
    properties = {p.key: p.value for p in onnx.load("m.onnx").metadata_props}
    assert float(properties["nin_spec.temperature"]) == value
    kinds = [n.op_type for n in onnx.load("m.onnx").graph.node]
    assert ("Mul" in kinds) == ("fold_temperature" in options)
    wanted = answer(nin_spec("evaluate", "run", "--format", "json"))
    for more in ([], ["--weights", "run/best.safetensors"]):
        found = answer(nin_spec("evaluate", "m.onnx", "--format", "json", "--device", "cpu", *more))
        assert found["ece"] == pytest.approx(wanted["ece"], abs=1e-6)
        assert found["confusion"] == wanted["confusion"]
        assert found["agreement"]["same"] == 359
        assert found["agreement"]["max_difference"] < 1e-4


@pytest.mark.usefixtures("here")
def test_its_source_has_it(nin_spec: Run) -> None:
    """The PyTorch file divides, and loads the run's own weights."""
    assert nin_spec("export", "run", "--source", "small_net.py").code == 0
    assert f"x = x / {open_run('run').temperature!r}" in Path("small_net.py").read_text()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("options", [[], ["--outputs", "probabilities,top3"], ["--outputs", "scores,maps"]])
def test_its_file_is_imported_as_the_same_network(options: list[str], nin_spec: Run) -> None:
    """With weights that have the temperature in them."""
    assert nin_spec("export", "run", "--onnx", "m.onnx", *options).code == 0
    assert nin_spec("import", "m.onnx", "-o", "again.yaml", "--weights", "again.safetensors").code == 0
    again = library.compile("again.yaml")
    assert again.hash == library.compile("run").hash
    found = evaluate(again.with_weights("again.safetensors"), dataset="digits")
    assert found.onnxruntime.ece == pytest.approx(evaluate(open_run("run")).onnxruntime.ece, abs=1e-6)


@pytest.mark.usefixtures("here")
def test_the_run_shows_it(nin_spec: Run) -> None:
    """show, and the remarks of what opens it."""
    value = open_run("run").temperature
    assert f"# temperature {value:g}, of its trained weights" in nin_spec("show", "run").out
    assert "# temperature" not in nin_spec("show", "plain").out
    assert f"temperature: {value:g}, fitted on 288 validation pictures" in nin_spec("evaluate", "run").err


@pytest.mark.usefixtures("here")
def test_other_weights_do_not_have_it(nin_spec: Run) -> None:
    """It is kept to the very weights that it was fitted for, and a stored evaluation to the temperature."""
    assert nin_spec("evaluate", "run").code == 0
    assert open_run("run").temperature is not None
    plain = answer(nin_spec("evaluate", "plain", "--format", "json"))
    other = answer(nin_spec("evaluate", "run", "--weights", "plain/best.safetensors", "--format", "json"))
    assert other["ece"] == plain["ece"]
    save(Path("run/best.safetensors"), library.compile("run").initialise(3).weights)
    assert open_run("run").temperature is None
    outcome = nin_spec("evaluate", "run")
    assert "temperature.json was fitted for other weights, and is not used: nin-spec calibrate run" in outcome.err
    assert " at temperature " not in outcome.out


@pytest.mark.usefixtures("here")
def test_an_evaluation_at_another_temperature_is_not_shown(nin_spec: Run) -> None:
    """After `calibrate`, the report asks for a new one."""
    assert nin_spec("evaluate", "plain").code == 0
    assert nin_spec("calibrate", "plain", "--device", "cpu").code == 0
    assert nin_spec("export", "plain", "--report", "page.html").code == 0
    assert (
        "evaluation.test.json is an evaluation at another temperature, and is not used" in Path("page.html").read_text()
    )


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("split", "why"), [("test", "would look better than it is"), ("train", "that it has learned")])
def test_other_splits_are_refused(split: str, why: str, nin_spec: Run) -> None:
    """With the reason."""
    outcome = nin_spec("calibrate", "plain", "--split", split)
    assert outcome.code == 2
    assert why in outcome.err
    assert not Path("plain/temperature.json").exists()


@pytest.mark.usefixtures("here")
def test_what_can_not_be_calibrated_is_reported(nin_spec: Run) -> None:
    """A run without a validation split, a damaged file, a folder that is not a run, scores that say nothing."""
    outcome = nin_spec("train", "small.yaml", "-o", "none", "--set", "train.validation=0", "--limit", "50")
    assert outcome.code == 0
    outcome = nin_spec("calibrate", "none")
    assert outcome.code == 2
    assert "none has no validation split" in outcome.err
    Path("run/temperature.json").write_text('{"temperature": -1}')
    outcome = nin_spec("evaluate", "run")
    assert outcome.code == 2
    assert "temperature.json is damaged: temperature" in outcome.err
    assert "fit it again: nin-spec calibrate run" in outcome.err
    assert nin_spec("calibrate", "run", "--device", "cpu").code == 0
    assert nin_spec("calibrate", "small.yaml").code == 2


@pytest.mark.usefixtures("here")
def test_a_calibrated_run_in_python() -> None:
    """`model()` has the temperature, `uncalibrated()` has not; the scores are those, divided."""
    from nin_spec.torch_module import build_module

    run = open_run("run")
    x = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)
    import torch

    with torch.inference_mode():
        divided, plain = (build_module(m)(torch.from_numpy(x)).numpy() for m in (run.model(), run.uncalibrated()))
    np.testing.assert_allclose(divided, plain / np.float32(run.temperature or 0), rtol=1e-6)
