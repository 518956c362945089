"""What is served: files, and the runs that export to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import nin_spec
from nin_spec.diagnostics import Code, InputError
from nin_spec.serving.models import Choice, Source, open_model, parse_source, stamp_of
from nin_spec.training.begin import train
from nin_spec.training.settings import TrainSettings


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a step or two."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    network = nin_spec.compile("nin_digits", ["train.epochs=1"])
    train(network, output=folder, settings=TrainSettings(threads=1, limit=20))
    return folder


def test_a_run_folder_is_served_as_its_export(run_folder: Path, tmp_path: Path) -> None:
    """The same name, labels and scores."""
    nin_spec.export(nin_spec.open_run(run_folder).model(), "onnx", tmp_path / "net.onnx")
    choice = Choice(device="cpu", threads=2)
    run, file = (open_model(Source(path), choice) for path in (run_folder, tmp_path / "net.onnx"))
    assert run.name == file.name == "nin_digits"
    assert run.engine.info == file.engine.info
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(run.engine.run([x])[0], file.engine.run([x])[0])


def test_new_weights_of_a_run_are_a_change(run_folder: Path) -> None:
    """So that --reload sees them."""
    before = stamp_of(run_folder)
    assert before
    weights = run_folder / "last.safetensors"
    os.utime(weights, ns=(1, weights.stat().st_mtime_ns + 10**9))
    assert stamp_of(run_folder) != before
    assert stamp_of(run_folder / "nowhere") == ()


def test_a_new_temperature_of_a_run_is_a_change(run_folder: Path) -> None:
    """`nin-spec calibrate` changes every probability of a served run."""
    before = stamp_of(run_folder)
    temperature = run_folder / "temperature.json"
    temperature.write_text("{}")
    assert stamp_of(run_folder) != before
    temperature.unlink()
    assert stamp_of(run_folder) == before


def test_a_run_folder_can_have_a_name_of_the_user_s(run_folder: Path) -> None:
    """And one whose own name has an equals sign is still a path."""
    assert parse_source(f"mine={run_folder}") == Source(run_folder, "mine")
    assert parse_source(str(run_folder)) == Source(run_folder)


@pytest.mark.parametrize("name", ["nin_cifar", "net.h5", "spec.yaml"])
def test_what_is_not_a_model_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.h5").write_bytes(b"\x89HDF")
    (tmp_path / "spec.yaml").write_text("spec: 1\n")
    with pytest.raises(InputError) as caught:
        open_model(Source(Path(name)), Choice())
    assert caught.value.diagnostics[0].code is Code.WRONG_KIND
    assert caught.value.diagnostics[0].hint
