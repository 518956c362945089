"""Half numbers: typed, close, and honest about what doesn't fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from trained_digits import SPEC, bytes_of, trained

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.model import Model
from nin_spec.precision.float16 import to_float16
from nin_spec.precision.reduction import stamp
from nin_spec.runtime.parity import check_parity
from nin_spec.runtime.session import open_session


def changed(model: Model, name: str, value: float) -> Model:
    """The model with one weight set."""
    weights = {n: w.copy() for n, w in model.weights.items()}
    weights[name].flat[0] = value
    return replace(model, weights=weights)


def half(model: Model) -> bytes:
    """The file in half, which says so."""
    return stamp(to_float16(bytes_of(model))[0], "float16")


@pytest.mark.floors
def test_every_weight_and_every_layer_is_in_half() -> None:
    """Between two casts; the input and the scores are float32."""
    proto = onnx.load_from_string(to_float16(bytes_of(trained()))[0])
    onnx.checker.check_model(proto, full_check=True)
    kinds = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(proto).graph.value_info}
    assert {t.data_type for t in proto.graph.initializer} <= {TensorProto.FLOAT16, TensorProto.INT64}
    assert set(kinds.values()) == {TensorProto.FLOAT16}
    assert [n.op_type for n in proto.graph.node].count("Cast") == 2
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize("output", ["softmax", "log_softmax"])
def test_probabilities_are_made_in_float32(output: str) -> None:
    """In half the small ones would be 0, and their logarithm infinite."""
    model = nin_spec.compile(nin_spec.loads(SPEC, overrides=[f"head.output={output}"])).initialise(0)
    data = half(model)
    session = open_session(data, "cpu")
    scores = session.run(np.full((1, 1, 8, 8), 50, np.float32))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    check_parity(model, data)


@pytest.mark.parametrize(
    "override",
    [
        "defaults.norm=batch",
        "defaults.activation=gelu",
        "defaults.activation=prelu",
        "defaults.activation={kind: leaky_relu, slope: 0.1}",
        "input.open=true",
    ],
)
def test_the_other_layers_follow(override: str) -> None:
    """Whatever they are written as, the file runs and stays within the tolerance."""
    model = nin_spec.compile(nin_spec.loads(SPEC, overrides=[override])).initialise(0)
    report = check_parity(model, half(model))
    assert report.precision == "float16"
    assert report.max_relative > 1e-6


@pytest.mark.parametrize("value", [65536.0, -1e9, np.inf])
def test_a_weight_beyond_half_is_refused(value: float) -> None:
    """By its name: cut to 65504 it would be another network."""
    name = "blocks.1.convs.1.weight"
    data = bytes_of(trained())
    proto = onnx.load_from_string(data)
    (tensor,) = (t for t in proto.graph.initializer if t.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array.flat[0] = value
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    with pytest.raises(ExportError, match=f"{name} has a weight of magnitude.*65504"):
        to_float16(proto.SerializeToString())


def test_weights_too_small_for_half_are_counted() -> None:
    """Those that become 0, and those that keep fewer bits."""
    model = changed(changed(trained(), "blocks.0.convs.0.weight", 1e-8), "blocks.0.convs.1.weight", 3e-6)
    before, after = (to_float16(bytes_of(m))[1] for m in (trained(), model))
    assert not any("became 0" in remark for remark in before)
    assert "1 of " in after[0]
    assert "too small for float16 and became 0" in after[0]
    assert "fewer than 11 bits" in after[1]


@few
@given(st.floats(-65504, 65504, width=32))
def test_a_weight_is_rounded_as_ieee_says(value: float) -> None:
    """To the nearest half number, never to another."""
    data, _ = to_float16(bytes_of(changed(trained(), "blocks.0.convs.0.bias", value)))
    (tensor,) = (t for t in onnx.load_from_string(data).graph.initializer if t.name == "blocks.0.convs.0.bias")
    assert numpy_helper.to_array(tensor)[0] == np.float16(np.float32(value))


@pytest.mark.parametrize("output", ["softmax", "log_softmax", "scores"])
@pytest.mark.parametrize("outputs", ["scores,probabilities", "probabilities", "scores,probabilities,top2"])
def test_probabilities_stay_in_full(output: str, outputs: str) -> None:
    """Under any names that the file gives them; every node has a name of its own."""
    model = nin_spec.compile(nin_spec.loads(SPEC, overrides=[f"head.output={output}"])).initialise(0)
    data, _ = to_float16(bytes_of(model, outputs=outputs))
    nodes = onnx.load_from_string(data).graph.node
    assert len({node.name for node in nodes}) == len(nodes)
    makers = {value: node for node in nodes for value in node.output}
    maker = makers["probabilities"]
    while maker.op_type in {"Identity", "Exp"}:
        maker = makers[maker.input[0]]
    assert maker.op_type in {"Softmax", "LogSoftmax"}
    assert makers[maker.input[0]].op_type == "Cast"
    check_parity(model, stamp(data, "float16"))
