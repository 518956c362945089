"""Outputs and inputs of an ONNX file: as asked for, each computed once, and said in the metadata."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import nin_spec
from nin_spec.api import explain_passes
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import make

SPEC = """\
spec: 1
name: small
input: {channels: 3, size: [6, 8]}
classes: 7
blocks: [{channels: [5, classes], kernel: 3, activation: none}]
head: {output: END}
"""


def proto_of(end: str = "scores", **options: Any) -> onnx.ModelProto:
    """The file of a small network that ends so."""
    model = nin_spec.compile(nin_spec.loads(SPEC.replace("END", end))).initialise(1)
    (data,) = make(model, "onnx", options).files.values()
    found = onnx.load_from_string(data)
    onnx.checker.check_model(found, full_check=True)
    return found


def names(proto: onnx.ModelProto) -> list[str]:
    """Of the outputs."""
    return [o.name for o in proto.graph.output]


def facts(proto: onnx.ModelProto) -> dict[str, str]:
    """What the file says of itself."""
    return {p.key.removeprefix("nin_spec."): p.value for p in proto.metadata_props}


@pytest.mark.parametrize(
    ("end", "outputs", "kinds", "says"),
    [
        ("scores", "scores", [], "scores"),
        ("scores", "probabilities", ["Softmax"], "probabilities"),
        ("scores", "probabilities, scores", ["Softmax"], "scores"),
        ("scores", "scores,top2", ["Softmax", "TopK"], "scores"),
        ("softmax", "scores", ["Softmax"], "probabilities"),
        ("softmax", "probabilities,top2", ["Softmax", "TopK"], "probabilities"),
        ("softmax", "scores,probabilities", ["Softmax", "Identity"], "probabilities"),
        ("softmax", "scores,top2", ["Softmax", "TopK"], "probabilities"),
        ("log_softmax", "scores", ["LogSoftmax"], "log_probabilities"),
        ("log_softmax", "probabilities", ["LogSoftmax", "Exp"], "probabilities"),
    ],
)
def test_outputs_are_computed_once(end: str, outputs: str, kinds: list[str], says: str) -> None:
    """One softmax at most, for any end of the network; the metadata say what the scores are."""
    proto = proto_of(end, outputs=outputs)
    flat = [n.op_type for n in proto.graph.node].index("Flatten")
    assert [n.op_type for n in proto.graph.node][flat + 1 :] == kinds
    assert facts(proto)["output"] == says
    asked = {w.strip() for w in outputs.split(",") if "top" not in w}
    top = ["top_probabilities", "top_classes"] if "top" in outputs else []
    assert names(proto) == [*sorted(asked, reverse=True), *top]


def test_the_best_classes() -> None:
    """Best first, with their probabilities."""
    proto = proto_of(outputs="probabilities,top7")
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 8)).astype(np.float32)
    likely, values, classes = session.run(None, {"input": x})
    assert classes.dtype == np.int64
    np.testing.assert_array_equal(classes, np.argsort(-likely, 1))
    np.testing.assert_array_equal(values, np.take_along_axis(likely, classes, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": "score"}, "did you mean 'scores'"),
        ({"outputs": "top5"}, "pass probabilities,top5"),
        ({"outputs": "scores,top0"}, "did you mean 'top5'"),
        ({"outputs": "scores,top2,top3"}, "one number of best classes"),
        ({"outputs": "scores,scores"}, "each output is allowed once"),
        ({"outputs": "scores,top8"}, r"top8 is more than the network's 7 classes"),
        ({"outputs": ""}, "outputs can't be ''"),
        ({"without": "fold_batchnorm"}, "did you mean 'fold_batch_norm'"),
        ({"without": "everything"}, "expected one of: drop_identities, pool_first"),
        ({"takes": "bytes"}, "takes can't be 'bytes'"),
        ({"target": "triton==1"}, "known: 23.05"),
    ],
)
def test_what_is_not_available_is_reported(options: dict[str, str], message: str) -> None:
    """Before anything is made, with the nearest right word."""
    with pytest.raises(ExportError, match=message):
        proto_of(**options)


@pytest.mark.parametrize(
    ("preprocess", "element", "shape"),
    [
        ("{}", onnx.TensorProto.UINT8, [6, 8, 3]),
        ("{layout: CHW}", onnx.TensorProto.UINT8, [3, 6, 8]),
        ("{dtype: float32}", onnx.TensorProto.FLOAT, [6, 8, 3]),
    ],
)
def test_pixels_are_those_of_the_contract(preprocess: str, element: int, shape: list[int]) -> None:
    """Its layout and dtype, under the name `input`, any batch."""
    text = SPEC.replace("size: [6, 8]}", f"size: [6, 8], preprocess: {preprocess}}}").replace("END", "scores")
    model = nin_spec.compile(nin_spec.loads(text)).initialise(1)
    (data,) = make(model, "onnx", {"takes": "pixels"}).files.values()
    proto = onnx.load_from_string(data)
    (found,) = proto.graph.input
    assert (found.name, found.type.tensor_type.elem_type) == ("input", element)
    assert [d.dim_value or d.dim_param for d in found.type.tensor_type.shape.dim] == ["batch", *shape]
    assert facts(proto)["input"] == "pixels"


def test_the_file_says_which_passes_made_it() -> None:
    """And what it takes."""
    assert facts(proto_of())["input"] == "normalised"
    passes = json.loads(facts(proto_of(without=["pool_first", "global_pools"]))["passes"])
    assert passes == ["drop_identities", "fold_batch_norm", "fold_temperature", "fold_input", "explicit_pools"]


def test_values_bear_the_names_of_the_spec() -> None:
    """A moved pool's value is one that the spec has not; the convolution behind it gives the pool's."""
    values = {n.name: n.output[0] for n in proto_of().graph.node}
    assert values["head.pool"] == "head.pool/value"
    assert values["blocks.0.convs.1"] == "head.pool"


def test_the_passes_are_explained_from_python() -> None:
    """Plain data; nothing is written."""
    model = nin_spec.compile("nin_cifar_bn").initialise()
    told = explain_passes(model, takes="pixels", without="fold_batch_norm")
    assert [p["name"] for p in told["passes"]] == [
        "drop_identities",
        "pool_first",
        "fold_temperature",
        "fold_input",
        "explicit_pools",
        "global_pools",
    ]
    assert told["saved"]["macs"] == 120_960
