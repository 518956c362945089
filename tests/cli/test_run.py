"""nin-spec run and doctor, end to end on real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch

import nin_spec
from nin_spec.cli import execute
from nin_spec.torch_module import build_module

PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nin_cifar with weights large enough for its classes to differ."""
    path = tmp_path_factory.mktemp("run") / "net.onnx"
    network = nin_spec.compile("nin_cifar", ["defaults.init=kaiming_normal"])
    nin_spec.export(network.initialise(1), "onnx", path)
    return path


def test_photographs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two pictures, their best classes by label, and the device that ran them."""
    pictures = [str(PHOTOGRAPHS / name) for name in ("china.jpg", "flower.jpg")]
    assert execute(["run", str(model), *pictures, "--top", "3"]) == 0
    out = capsys.readouterr()
    assert "china.jpg" in out.out
    assert "flower.jpg" in out.out
    assert any(
        label in out.out for label in ("airplane", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    )
    assert "nodes on CPUExecutionProvider" in out.err or "CUDAExecutionProvider" in out.err


def test_arrays_give_what_the_module_gives(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One input, a batch, the raw scores in a file, and JSON."""
    x = np.random.default_rng(0).standard_normal((5, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "batch.npy", x[1:])
    np.save(tmp_path / "one.npy", x[0])
    scores = tmp_path / "scores.npy"
    files = [str(tmp_path / "one.npy"), str(tmp_path / "batch.npy")]
    assert execute(["run", str(model), *files, "--device", "cpu", "--format", "json", "-o", str(scores)]) == 0
    answer = json.loads(capsys.readouterr().out)
    network = nin_spec.compile("nin_cifar", ["defaults.init=kaiming_normal"])
    expected = build_module(network.initialise(1))(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(np.load(scores), expected, rtol=1e-4, atol=1e-5)
    best = [p["top"][0]["class"] for p in answer["predictions"]]
    assert best == expected.argmax(1).tolist()
    assert answer["provider"] == "CPUExecutionProvider"
    assert answer["hash"] == network.hash


def test_cuda_is_never_replaced(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a GPU it exits 2, names the provider and what is missing, and runs nothing."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    np.save(tmp_path / "x.npy", np.zeros((3, 32, 32), np.float32))
    assert execute(["run", str(model), str(tmp_path / "x.npy"), "--device", "cuda"]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert "CUDAExecutionProvider" in out.err
    assert "libcuda.so.1" in out.err or "libcublas" in out.err
    assert "hint:" in out.err


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.onnx", "can't be used: it does not exist"),
        ("text.onnx", "can't be used: it is not an ONNX file, or is truncated"),
        (".", "can't be used: it is a folder or a device, not a file"),
    ],
)
def test_what_is_not_a_model(name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and the reason."""
    (tmp_path / "text.onnx").write_text("not a model")
    assert execute(["run", str(tmp_path / name), "x.npy"]) == 2
    error = capsys.readouterr().err
    assert "error NIN701" in error
    assert why in error


def test_what_is_not_an_input(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, naming the file and both shapes."""
    np.save(tmp_path / "x.npy", np.zeros((1, 32, 32), np.float32))
    assert execute(["run", str(model), str(tmp_path / "x.npy")]) == 2
    error = capsys.readouterr().err
    assert "error NIN702" in error
    assert "x.npy" in error


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    """The CPU works, by proof; every device is spoken of."""
    assert execute(["doctor", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert {d["device"]: d["usable"] for d in report["devices"]}["cpu"]
    assert {d["device"] for d in report["devices"]} >= {"cpu", "cuda"}
    assert execute(["doctor"]) == 0
    assert "cuda" in capsys.readouterr().out
