"""Files of 8-bit integers: integer kernels throughout, the same bytes each time, the same scores on every CPU."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from trained_digits import LAYERS, SPEC, bytes_of, trained

import nin_spec
from nin_spec.model import Model
from nin_spec.precision.calibration import Ranges, calibrate, largest
from nin_spec.precision.int8 import integer_kernels, layers_of, quantise
from nin_spec.runtime.plain_files import is_plain
from nin_spec.runtime.session import open_session


def noise(model: Model, count: int = 16) -> np.ndarray:
    """Inputs of the network."""
    return np.random.default_rng(0).standard_normal((count, *model.graph.input.shape)).astype(np.float32)


def ranges_of(model: Model, data: bytes) -> Ranges:
    """Its values' ranges over noise."""
    return calibrate(data, "input", [noise(model)])


def made(model: Model, *float_layers: str) -> bytes:
    """The file in int8, which is plain."""
    data = bytes_of(model)
    found = quantise(data, ranges_of(model, data), float_layers)
    assert is_plain(found)
    return found


def weights_of(data: bytes) -> list[np.ndarray]:
    """The 8-bit weights of a file."""
    tensors = onnx.load_from_string(data).graph.initializer
    return [numpy_helper.to_array(t) for t in tensors if t.data_type == TensorProto.INT8 and len(t.dims) > 1]


@pytest.mark.floors
def test_every_layer_runs_as_an_integer_kernel() -> None:
    """In the graph that onnxruntime really computes, the average pool between them included."""
    assert layers_of(bytes_of(trained())) == [*LAYERS]
    assert integer_kernels(made(trained())) == len(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_left_in_float_keeps_its_weights(layer: str) -> None:
    """It alone, in onnxruntime's optimised graph too, which would quantise it again."""
    data = made(trained(), layer)
    assert integer_kernels(data) == len(LAYERS) - 1
    names = {t.name for t in onnx.load_from_string(data).graph.initializer if t.data_type == TensorProto.FLOAT}
    assert "blocks.1.convs.2.weight" in names
    assert [name for name in LAYERS if f"{name}.weight" in names] == [layer]


def test_the_scores_are_close_and_have_more_than_256_steps() -> None:
    """The last convolution stays in float where it gives them; the range of other scores is not cut off."""
    model = trained()
    x = noise(model, 200)
    wanted, got = (open_session(d, "cpu").run(x) for d in (bytes_of(model), made(model)))
    assert 1e-4 < np.abs(got - wanted).max() / np.abs(wanted).max() < 0.1
    assert len(np.unique(got)) > 256


def test_weights_keep_to_seven_bits() -> None:
    """255 * 64 * 2 fits into 16 bits and 255 * 127 * 2 does not: on x86 without VNNI sums would saturate."""
    weights = weights_of(made(trained()))
    assert len(weights) == len(LAYERS)
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) <= 64


def test_values_are_unsigned_and_scales_are_by_channel() -> None:
    """Which every CPU kernel computes fastest."""
    proto = onnx.load_from_string(made(trained()))
    tensors = {t.name: t for t in proto.graph.initializer}
    quantisers = [n for n in proto.graph.node if n.op_type == "QuantizeLinear"]
    assert {tensors[n.input[2]].data_type for n in quantisers} == {TensorProto.UINT8}
    scales = [tensors[n.input[1]] for n in proto.graph.node if n.input and n.input[0].endswith("weight_quantized")]
    assert [list(s.dims) for s in scales] == [[16], [16], [24], [24]]


def test_the_file_is_still_ours() -> None:
    """A valid model with its metadata, its producer and its opset."""
    before, after = (onnx.load_from_string(d) for d in (bytes_of(trained()), made(trained())))
    onnx.checker.check_model(after, full_check=True)
    assert [*after.metadata_props] == [*before.metadata_props]
    assert (after.producer_name, after.ir_version) == (before.producer_name, before.ir_version)
    assert [*after.opset_import] == [*before.opset_import]


@pytest.mark.parametrize(
    "override",
    [
        "defaults.norm=batch",
        "defaults.activation=gelu",
        "defaults.activation={kind: leaky_relu, slope: 0.1}",
        "blocks.0.pool={kind: avg, kernel: 3, stride: 2, padding: 1, count_include_pad: true, ceil_mode: true}",
        "blocks.0.pool={kind: max, kernel: 2, stride: 2}",
        "head.output=softmax",
    ],
)
def test_other_networks_are_right_too(override: str) -> None:
    """Whatever has no integer kernel is computed in float between them."""
    model = nin_spec.compile(nin_spec.loads(SPEC, overrides=[override])).initialise(0)
    x = noise(model)
    wanted, got = (open_session(d, "cpu").run(x) for d in (bytes_of(model), made(model)))
    assert np.abs(got - wanted).max() / np.abs(wanted).max() < 0.1


def test_dense_layers_are_quantised() -> None:
    """And the last one gives floats."""
    text = SPEC.replace("head: {pool: global_avg}", "head: {pool: global_avg, dense: [32, classes]}")
    model = nin_spec.compile(nin_spec.loads(text.replace("{channels: classes, activation: none}", "24"))).initialise(0)
    data = made(model)
    assert integer_kernels(data) == len(layers_of(bytes_of(model))) == 7
    x = noise(model)
    wanted, got = (open_session(d, "cpu").run(x) for d in (bytes_of(model), data))
    assert np.abs(got - wanted).max() / np.abs(wanted).max() < 0.1


def test_ranges_are_the_smallest_and_largest_over_every_batch() -> None:
    """One batch after the other is as all at once."""
    model = trained()
    data, x = bytes_of(model), noise(model)
    at_once, halves = calibrate(data, "input", [x]), calibrate(data, "input", [x[:5], x[5:]])
    assert largest(at_once)["input"] == np.abs(x).max()
    assert {n: [float(v.item()) for v in r.range_value] for n, r in at_once.items()} == {
        n: [float(v.item()) for v in r.range_value] for n, r in halves.items()
    }


def test_the_same_bytes_in_another_process() -> None:
    """Whatever the order of Python's sets there."""
    code = "import hashlib, test_int8 as t; print(hashlib.sha256(t.made(t.untrained())).hexdigest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def untrained() -> Model:
    """A model for which nothing is computed in torch."""
    return nin_spec.compile(nin_spec.loads(SPEC)).initialise(0)
