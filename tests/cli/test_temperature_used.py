"""A calibrated run's weights have its temperature wherever they are used, or the command says that they have not."""

from __future__ import annotations

import importlib
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
from nin_spec.cli.bench import open_subject
from nin_spec.cli.commands import GROUPS
from nin_spec.passes.temperature import temperature_of
from nin_spec.training.folder import open_run

Run = Callable[..., Any]
SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8}
classes: 10
blocks:
  - {channels: [classes], kernel: 3}
train:
  dataset: digits
  epochs: 2
  validation: 0.2
  optimizer: {kind: adam, lr: 0.02}
"""
QUICK = ("--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, a calibrated run of it, and a file exported before it was calibrated."""
    folder = tmp_path_factory.mktemp("temperature")
    (folder / "small.yaml").write_text(SPEC)
    run = str(folder / "run")
    assert execute(["train", str(folder / "small.yaml"), "-o", run, *QUICK]) == 0
    assert execute(["export", run, "--onnx", str(folder / "before.onnx")]) == 0
    assert execute(["calibrate", run, *QUICK]) == 0
    return folder


@pytest.fixture
def value(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """The temperature; the working folder is a copy of that folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    found = open_run("run").temperature
    assert found is not None
    return found


WAYS = {
    "export run --onnx m.onnx": "calibrated: the scores are divided by the temperature {value}",
    "export small.yaml --onnx m.onnx --weights run": "temperature: {value}, fitted on 288 validation pictures",
    "export small.yaml --onnx m.onnx --weights run/best.safetensors": "divided by the temperature {value}",
    "export run --onnx m.onnx --weights run/best.safetensors": "divided by the temperature {value}",
    "export small.yaml --source m.py --weights run": "temperature: {value}, fitted on",
    "evaluate run": " at temperature {value}",
    "evaluate small.yaml --weights run": " at temperature {value}",
    "evaluate run --weights run/best.safetensors": " at temperature {value}",
    "evaluate before.onnx --weights run": "run has the temperature {value}, and before.onnx none: that of the file",
    "build run -o w.safetensors": "w.safetensors has the weights alone, without the temperature {value}",
    "build small.yaml --weights run -o w.safetensors": "the weights alone, without the temperature {value}",
    "train small.yaml --weights run -o next --limit 40": "run/temperature.json is not used: the training starts from",
    "show run": "# temperature {value}, of its trained weights",
}
"""Commands, and what they say of the temperature."""


@pytest.mark.parametrize("command", WAYS)
def test_each_command_uses_it_or_says_so(command: str, value: float, nin_spec: Run) -> None:
    """By the run folder, by the file in it, beside a spec of the network."""
    outcome = nin_spec(*command.split())
    assert outcome.code == 0, outcome.err
    assert WAYS[command].format(value=f"{value:g}") in outcome.out + outcome.err


def test_each_command_with_weights_is_listed() -> None:
    """`import` writes weights, and reads none; `bench` has a test of its own."""
    takes = set()
    for name, (module, _) in ((n, c) for group in GROUPS.values() for n, c in group.items()):
        found = vars(importlib.import_module(module)).get(f"{name}_command")
        if found is not None and any("--weights" in option.opts for option in found.params):
            takes.add(name)
    assert takes - {"import", "bench"} <= {way.split()[0] for way in WAYS}
    assert {"export", "evaluate", "build", "train", "bench"} <= takes


def test_the_files_are_the_same_whichever_way(value: float, nin_spec: Run) -> None:
    """The run, and a spec with the weights of the run: one temperature, one set of arrays."""
    files = {}
    for name, way in {"a": ["run"], "b": ["small.yaml", "--weights", "run"]}.items():
        assert nin_spec("export", *way, "--onnx", f"{name}.onnx").code == 0
        files[name] = onnx.load(f"{name}.onnx")
    assert {p.key: p.value for p in files["b"].metadata_props}["nin_spec.temperature"] == repr(value)
    a, b = ([onnx.numpy_helper.to_array(t) for t in file.graph.initializer] for file in files.values())
    assert len(a) == len(b)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_bench_times_it(value: float) -> None:
    """The model that is timed divides."""
    assert open_subject(library.compile("small.yaml"), ("cpu",), "run", 0).temperature == value


def test_other_weights_and_other_functions_do_not_have_it(value: float, nin_spec: Run) -> None:
    """Those of another epoch, and a network that computes something else of the same tensors."""
    assert value > 0
    again = library.compile("small.yaml").initialise(3)
    from nin_spec.weights import save

    save(Path("run/last.safetensors"), again.weights)
    outcome = nin_spec("export", "small.yaml", "--onnx", "m.onnx", "--weights", "run/last.safetensors")
    assert outcome.code == 0
    assert "run/temperature.json was fitted for other weights, and is not used" in outcome.err
    other = ("--set", "head.pool=global_max", "--weights", "run")
    outcome = nin_spec("export", "small.yaml", "--onnx", "o.onnx", *other)
    assert outcome.code == 0
    assert "run/temperature.json was fitted for another function of these weights, and is not used" in outcome.err


def test_a_file_is_compared_at_its_own_temperature(value: float, nin_spec: Run) -> None:
    """The same scores in torch and in onnxruntime, whether the run was calibrated before or after the export."""
    assert value
    assert nin_spec("export", "run", "--onnx", "after.onnx").code == 0
    for name in ("before", "after"):
        outcome = nin_spec("evaluate", f"{name}.onnx", "--weights", "run", "--format", "json")
        assert answer(outcome)["agreement"]["max_difference"] < 1e-4
        assert ("that of the file is used for both" in outcome.err) == (name == "before")


def test_in_python(value: float) -> None:
    """`with_weights` and `adopt` have it, unless it is not wanted; a training starts without."""
    network = library.compile("small.yaml")
    assert temperature_of(network.with_weights("run").graph) == value
    assert temperature_of(network.with_weights("run", temperature=False).graph) is None
    model, remarks = network.adopt("run")
    assert temperature_of(model.graph) == value
    assert f"temperature: {value:g}, fitted on 288 validation pictures" in remarks


def test_a_damaged_one_is_not_passed_over(value: float, nin_spec: Run) -> None:
    """A file that can't be read is an error, with what to do."""
    assert value
    Path("run/temperature.json").write_text("{}")
    outcome = nin_spec("export", "small.yaml", "--onnx", "m.onnx", "--weights", "run")
    assert outcome.code == 2
    assert "temperature.json is damaged" in outcome.err
    assert not Path("m.onnx").exists()
