"""nin-spec export --precision: reported step by step, written within the budget or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from nin_spec.network import compile as compile_network

Command = Callable[..., Any]
NIN_SPEC = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]
SPEC = """\
spec: 1
name: quick
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.37}}
classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
blocks:
  - {channels: [16, 16], kernel: 3, padding: 1, pool: {kind: max, kernel: 2, stride: 2}}
  - {convs: [24, 24, {channels: classes, activation: none}], kernel: 3, padding: 1}
head: {pool: global_avg}
train: {dataset: digits, epochs: 5, optimizer: {kind: adam, lr: 0.01}, seed: 1}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with a small spec."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.yaml").write_text(SPEC)
    return tmp_path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec as it was trained."""
    from nin_spec.training.begin import train
    from nin_spec.training.settings import TrainSettings

    folder = tmp_path_factory.mktemp("runs")
    (folder / "quick.yaml").write_text(SPEC)
    return train(
        compile_network(folder / "quick.yaml"), output=folder / "quick", settings=TrainSettings(device="cpu", threads=1)
    ).path


def weights_file(run_folder: Path, path: Path, factor: float) -> Path:
    """The run's weights, every other channel out of proportion: in float the same function."""
    model = compile_network(run_folder / "spec.yaml").with_weights(run_folder / "last.safetensors")
    weights = {name: np.array(array) for name, array in model.weights.items()}
    for name in ("blocks.1.convs.0.weight", "blocks.1.convs.0.bias"):
        weights[name][::2] *= factor
    weights["blocks.1.convs.1.weight"][:, ::2] /= factor
    save_file(weights, path)
    return path


def test_int8_of_a_run(run_folder: Path, nin_spec: Command) -> None:
    """Its data set, its name; the float32 file is proved, the drop is reported, the int8 file is proved."""
    found = nin_spec("export", str(run_folder), "--onnx", "--precision", "int8")
    assert found.code == 0
    lines = found.out.splitlines()
    starts = (
        "parity on CPUExecutionProvider (float32",
        "int8: calibrated on 512",
        "float32: ",
        "int8, all 4",
        "int8: 4 of",
    )
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=False))
    assert lines[-2].startswith("parity on CPUExecutionProvider (int8, batches of 1, 2, 7)")
    assert "(allowed 0.15: " in lines[-2]
    assert lines[-1].startswith("wrote quick.int8.onnx (")
    assert [p.name for p in Path().glob("*.onnx")] == ["quick.int8.onnx"]


def test_the_written_file_is_evaluated_and_run(run_folder: Path, nin_spec: Command) -> None:
    """By its budget where float weights are at hand, in onnxruntime alone otherwise."""
    assert nin_spec("export", str(run_folder), "--onnx", "q.onnx", "--precision", "int8").code == 0
    alone = nin_spec("evaluate", "q.onnx", "--device", "cpu")
    assert alone.code == 0
    assert "its weights are rounded to int8; pass --weights FILE" in alone.out
    weights = str(run_folder / "last.safetensors")
    beside = nin_spec("evaluate", "q.onnx", "--weights", weights, "--device", "cpu")
    assert beside.code == 0
    assert "int8: both predict the same class for " in beside.out
    assert "points lost, its budget of 0.5 points holds" in beside.out
    data = json.loads(nin_spec("evaluate", "q.onnx", "--weights", weights, "--device", "cpu", "--format", "json").out)
    assert (data["precision"], data["max_drop"]) == ("int8", 0.5)
    assert data["drop"] == pytest.approx(100 * (data["torch"]["accuracy"] - data["accuracy"]))
    np.save("x.npy", np.zeros((1, 8, 8), np.float32))
    assert nin_spec("run", "q.onnx", "x.npy", "--device", "cpu").code == 0


def test_a_budget_that_no_longer_holds_is_a_failed_check(run_folder: Path, nin_spec: Command) -> None:
    """A file that was changed after it was measured."""
    assert nin_spec("export", str(run_folder), "--onnx", "q.onnx", "--precision", "int8").code == 0
    proto = onnx.load("q.onnx")
    for tensor in proto.graph.initializer:
        if tensor.name == "blocks.1.convs.1.weight_scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(proto, "q.onnx")
    found = nin_spec("evaluate", "q.onnx", "--weights", str(run_folder / "last.safetensors"), "--device", "cpu")
    assert found.code == 1
    assert "its budget of 0.5 points DOES NOT HOLD" in found.out


def test_a_fragile_network_keeps_layers_in_float(run_folder: Path, nin_spec: Command) -> None:
    """Each is named with its line and what it brought."""
    weights = weights_file(run_folder, Path("fragile.safetensors"), 3000)
    found = nin_spec("export", "quick.yaml", "--onnx", "--weights", str(weights), "--precision", "int8")
    assert found.code == 0
    assert "that exceeds the budget" in found.out
    assert "with blocks.1.convs.1 (quick.yaml:7) in float: " in found.out
    assert "chosen on these test pictures" in found.out


def test_a_failed_budget_writes_nothing(run_folder: Path, nin_spec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """And exits 1, in any precision."""
    monkeypatch.setattr("nin_spec.precision.trial.Outcome.within", lambda *_: False)
    for precision in ("int8", "float16"):
        found = nin_spec("export", str(run_folder), "--onnx", "--precision", precision)
        assert found.code == 1
        assert "error NIN611" in found.err
        assert "raise --max-drop" in found.err
    assert list(Path().glob("*.onnx")) == []


def test_float16_says_where_it_is_not_faster(run_folder: Path, nin_spec: Command) -> None:
    """Before it is written."""
    found = nin_spec("export", str(run_folder), "--onnx", "--precision", "float16", "--max-drop", "1%")
    assert found.code == 0
    assert found.out.index("no float16 convolution") < found.out.index("wrote quick.float16.onnx")
    assert "(allowed: 1 points)" in found.out


def test_options_of_an_exporter_go_together_with_it(run_folder: Path, nin_spec: Command) -> None:
    """A batch, an opset, no parity, and a source beside it, which stays as it is."""
    options = ("--batch", "4", "--opset", "20", "--no-parity", "--limit", "50", "--calibrate", "64", "--source")
    found = nin_spec("export", str(run_folder), "--onnx", "--precision", "int8", *options)
    assert found.code == 0
    assert "parity" not in found.out
    assert "of 50 of 359 pictures" in found.out
    assert sorted(p.name for p in Path().iterdir()) == ["quick.int8.onnx", "quick.py", "quick.yaml"]
    proto = onnx.load("quick.int8.onnx")
    assert proto.opset_import[0].version == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--onnx", "--max-drop", "1"], "--max-drop needs --precision"),
        (["--onnx", "--calibrate", "8"], "--calibrate needs --precision"),
        (["--onnx", "--data", "x"], "--data needs --precision"),
        (["--source", "--precision", "int8"], "--precision requires --onnx"),
        (["--page", "--precision", "int8"], "--precision is for --onnx, and the model of --page is float32"),
        (["--onnx", "--page", "--precision", "int8"], "the model of --page is float32"),
        (["--onnx", "--triton", "repository", "--precision", "int8"], "the model of --triton is float32"),
        (["--onnx", "--precision", "int8", "--max-drop", "0.5x"], "percentage points from 0 to 100"),
        (["--onnx", "--precision", "int4"], "'int4' is not one of"),
        (["--onnx", "--precision", "int8", "--data", "nowhere"], "nowhere: it does not exist"),
        (["--onnx", "--precision", "bfloat16", "--device", "cpu"], "bfloat16 can't run on cpu"),
        (["--onnx", "--precision", "int8", "--dtype", "float64"], "float64"),
        (["--onnx", "--precision", "int8", "--max-drop", "none", "--limit", "5"], "--limit would do nothing"),
        (["--onnx", "--precision", "float16", "--max-drop", "none", "--data", "x"], "--data would do nothing"),
        (
            ["--onnx", "--precision", "float16", "--max-drop", "none", "--calibrate", "9"],
            "float16 needs no ranges",
        ),
        (["--onnx", "--precision", "bfloat16", "--calibrate", "9"], "bfloat16 needs no ranges"),
        (
            ["--onnx", "--precision", "float16", "--device", "auto", "--device-option", "spinning=never"],
            "auto takes no options",
        ),
        (["--onnx", "--precision", "int8", "--set", "train=null"], "the spec does not name a data set"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], message: str, nin_spec: Command) -> None:
    """With exit code 2, and nothing written."""
    found = nin_spec("export", "quick.yaml", *arguments)
    assert found.code == 2
    assert message in found.err
    assert [p.name for p in Path().iterdir()] == ["quick.yaml"]


def test_an_interrupt_leaves_nothing_half_written(run_folder: Path) -> None:
    """While it calibrates and measures."""
    process = subprocess.Popen(
        [*NIN_SPEC, "export", str(run_folder), "--onnx", "--precision", "int8", "--no-parity"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    process.stdout.readline()  # calibrated; now it measures
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 60
    process.communicate(timeout=deadline - time.monotonic())
    assert process.returncode in {0, 130}  # a fast machine may be done
    names = {p.name for p in Path().iterdir()}
    assert names == ({"quick.yaml"} if process.returncode else {"quick.yaml", "quick.int8.onnx"})


def test_the_devices_options_go_along(run_folder: Path, nin_spec: Command) -> None:
    """What measures and what proves is opened with them; a wrong one is reported before the work."""
    asked = ["export", str(run_folder), "--onnx", "--precision", "int8", "--limit", "20", "--device", "cpu"]
    done = nin_spec(*asked, "--device-option", "spinning=never")
    assert done.code == 0, done.err
    done = nin_spec(*asked, "--device-option", "spining=never", "--force")
    assert done.code == 2
    assert "did you mean 'spinning'?" in done.err


def test_there_is_no_int8_without_a_layer_to_make_smaller(nin_spec: Command) -> None:
    """One convolution makes the scores: the file would be float32 under another name."""
    alone = ["--set", "blocks=[{channels: [classes], kernel: 8, activation: none}]", "--set", "head={pool: none}"]
    done = nin_spec("export", "quick.yaml", *alone, "--onnx", "--precision", "int8", "--max-drop", "none")
    assert done.code == 2
    assert "int8 has nothing to quantise" in done.err
    assert not list(Path().glob("*.onnx"))


def test_help_teaches(nin_spec: Command) -> None:
    """What each precision is for."""
    found = nin_spec("export", "--help")
    assert "int8 is for CPUs" in found.out
    assert "--max-drop" in found.out
