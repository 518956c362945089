"""Devices on the command line, each command in a process of its own: used, or refused with exit 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warm
from PIL import Image

import nin_spec

SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.4}}
classes: 10
defaults: {init: kaiming_normal}
blocks:
  - {channels: [8, 8], kernel: 3, padding: 1, pool: {kind: max, kernel: 2, stride: 2}}
  - {channels: [16, classes], kernel: 3, padding: 1}
train: {dataset: digits, epochs: 1, optimizer: {kind: adam, lr: 0.01}}
"""

_SERVED = """
from nin_spec.runtime.providers import explain
print(explain("openvino").usable)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, its ONNX file with fresh weights, and a photo."""
    made = tmp_path_factory.mktemp("devices")
    (made / "small.yaml").write_text(SPEC)
    nin_spec.export(nin_spec.compile(made / "small.yaml").initialise(1), "onnx", made / "small.onnx", parity=False)
    Image.linear_gradient("L").save(made / "photo.png")
    return made


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A nin-spec command in a fresh process, in that folder."""
    return warm.run(arguments, folder)


@pytest.fixture(scope="module")
def served() -> bool:
    """Whether OpenVINO's plug-in is here and serves this machine."""
    done = subprocess.run([sys.executable, "-c", _SERVED], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "True"


OPENVINO = ("run small.onnx photo.png", "evaluate small.onnx --limit 20", "export small.yaml --onnx proven.onnx")


@pytest.mark.parametrize("line", OPENVINO)
def test_openvino_is_used_or_refused(folder: Path, line: str, *, served: bool) -> None:
    """Where it serves, it is the one that computes; elsewhere nothing is computed, and the fix is named."""
    done = command(folder, *line.split(), "--device", "openvino")
    if served:
        assert done.returncode == 0, done.stderr
        assert "OpenVINOExecutionProvider" in done.stdout + done.stderr
        assert "CPUExecutionProvider" not in done.stdout + done.stderr
        return
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error NIN703: openvino " in done.stderr
    assert "hint: " in done.stderr
    assert not (folder / "proven.onnx").exists()


@pytest.mark.parametrize("line", OPENVINO)
def test_a_device_that_does_not_exist_gets_the_choices(folder: Path, line: str) -> None:
    """Exit 2, what there is, and what was probably meant."""
    done = command(folder, *line.split(), "--device", "cudda")
    assert done.returncode == 2
    assert "error NIN703: unknown device 'cudda'" in done.stderr
    assert "did you mean 'cuda'? devices are auto, cuda, tensorrt, " in done.stderr


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_nvidia_is_refused_without_a_gpu(folder: Path, device: str) -> None:
    """The provider and what is missing are named; nothing runs on the CPU instead."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = command(folder, "run", "small.onnx", "photo.png", "--device", device)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error NIN703: {device} (" in done.stderr
    assert "hint: " in done.stderr


def test_options_reach_the_device_and_wrong_ones_list_the_right_ones(folder: Path) -> None:
    """A right one runs; a wrong name or form exits 2 before anything runs."""
    run = ("run", "small.onnx", "photo.png", "--format", "json", "--device", "cpu", "--device-option")
    right = command(folder, *run, "spinning=never")
    assert right.returncode == 0, right.stderr
    assert json.loads(right.stdout)["precision"] == "float32"
    wrong = command(folder, *run, "spining=never")
    assert wrong.returncode == 2
    assert "unknown option 'spining'" in wrong.stderr
    assert "did you mean 'spinning'? it has spinning" in wrong.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--device-option", "spinning"], "not of the form KEY=VALUE"),
        (["--device-option", "a=1", "--device-option", "a=2"], "a is given twice"),
    ],
)
def test_an_option_of_another_form_is_a_usage_error(folder: Path, given: list[str], words: str) -> None:
    """KEY=VALUE, each key once."""
    done = command(folder, "run", "small.onnx", "photo.png", *given)
    assert done.returncode == 2
    assert words in done.stderr


def test_options_are_for_the_proof_on_one_device(folder: Path) -> None:
    """With two devices nobody could say whose they are; without a proof they would do nothing."""
    line = ("export", "small.yaml", "--onnx", "x.onnx", "--device-option", "spinning=never")
    for more in (("--device", "cpu", "--device", "auto"), ("--no-parity",)):
        done = command(folder, *line, *more)
        assert done.returncode == 2
        assert "--device-option requires exactly one --device" in done.stderr
    assert command(folder, *line, "--device", "cpu").returncode == 0
