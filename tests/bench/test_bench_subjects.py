"""What can be measured: models, files and run folders, and what workers receive about each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_specs import SMALL, small_file, small_model

import nin_spec
from nin_spec.bench.contenders import OURS, PEERS, Entry
from nin_spec.bench.subjects import bench_file, bench_model
from nin_spec.cli import execute
from nin_spec.diagnostics import Code, InputError


def test_a_model_and_its_file_are_one_network(tmp_path: Path) -> None:
    """The same name, hash, shape and MACs, and the very weights, read back from the file."""
    made, read = bench_model(small_model(tmp_path)), bench_file(small_file(tmp_path), "cpu")
    for field in ("name", "hash", "shape", "dtype", "macs", "batch"):
        assert getattr(made, field) == getattr(read, field), field
    assert made.model is not None
    assert read.model is not None
    for name, array in made.model.weights.items():
        np.testing.assert_array_equal(array, read.model.weights[name])


def test_a_float64_spec_is_measured_in_the_numbers_of_its_file(tmp_path: Path) -> None:
    """The file is in float32, and so are its peers."""
    (tmp_path / "small.yaml").write_text(SMALL + "dtype: float64\n")
    subject = bench_model(nin_spec.compile(tmp_path / "small.yaml").initialise())
    assert subject.job(Entry("torch", PEERS["torch"]), tmp_path, "cpu", 1).dtype == "float32"


def test_a_run_folder_has_its_trained_weights(tmp_path: Path) -> None:
    """Those that the training ended with."""
    spec = (
        SMALL.replace("classes: 4", "classes: 10")
        + "train: {dataset: digits, epochs: 1, optimizer: {kind: adam, lr: 0.01}}\n"
    )
    (tmp_path / "small.yaml").write_text(spec)
    assert execute(["train", str(tmp_path / "small.yaml"), "-o", str(tmp_path / "run"), "--device", "cpu"]) == 0
    subject = bench_model(nin_spec.open_run(tmp_path / "run").model())
    trained = nin_spec.compile(tmp_path / "small.yaml").with_weights(tmp_path / "run" / "last.safetensors")
    assert subject.model is not None
    for name, array in trained.weights.items():
        np.testing.assert_array_equal(array, subject.model.weights[name])


def test_every_contender_reads_the_same_images(tmp_path: Path) -> None:
    """Laid out once for each batch size, the same each time; the job names the files that are there."""
    subject = bench_model(small_model(tmp_path))
    subject.lay_out(tmp_path, (1, 3))
    for batch in (1, 3):
        found = np.load(tmp_path / f"inputs-{batch}.npy", allow_pickle=False)
        assert found.shape == (batch, 1, 8, 8)
        np.testing.assert_array_equal(found, subject.inputs(batch))
    job = subject.job(Entry("nin-spec", OURS), tmp_path, "cpu", 2)
    assert all(Path(path).is_file() for path in (job.file, job.spec, job.weights))
    assert (job.device, job.threads) == ("cpu", 2)


def test_a_file_that_takes_no_floats_is_refused(tmp_path: Path) -> None:
    """The bench makes normal numbers, which raw pixels are not."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Cast", ["input"], ["scores"], to=TensorProto.FLOAT)],
        "raw",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["N", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])],
    )
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), str(tmp_path / "raw.onnx")
    )
    with pytest.raises(InputError) as caught:
        bench_file(tmp_path / "raw.onnx", "cpu")
    assert caught.value.diagnostics[0].code is Code.MODEL_UNREADABLE
