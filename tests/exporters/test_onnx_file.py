"""ONNX files compute what the graph says, whole, self-describing and the same each time."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from oracle_graphs import golden, golden_names, hash_input, hash_weights, oracle_graph

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import find, make
from nin_spec.exporters import onnx_file
from nin_spec.exporters.onnx_rules import RULES
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import Padding, TensorType
from nin_spec.model import Model, ModelCard
from nin_spec.named import shipped_names
from nin_spec.runtime.parity import check_parity
from nin_spec.torch_module import build_module

EVERY_OP = [
    ops.Conv2d(12, (3, 3), padding=Padding(1, 0, 1, 2), groups=2),
    ops.BatchNorm(scale=False),
    ops.LocalResponseNorm(3, alpha=0.1),
    ops.ChannelShuffle(3),
    ops.ReLU(),
    ops.PReLU(per_channel=True),
    ops.BatchNorm(),
    ops.LeakyReLU(0.1),
    ops.ELU(0.7),
    ops.GELU(),
    ops.GELU(approximate=True),
    ops.SiLU(),
    ops.Hardswish(),
    ops.Mish(),
    ops.MaxPool2d((3, 2), (2, 1), Padding(1, 0, 0, 1), ceil_mode=True),
    ops.AvgPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1), ceil_mode=True, count_include_pad=True),
    ops.Maxout(3),
    ops.Conv2d(8, (2, 2), (1, 1), dilation=(2, 1), bias=False),
    ops.PReLU(),
    ops.Tanh(),
    ops.Dropout2d(0.5),
    ops.AdaptiveMaxPool2d(),
    ops.AdaptiveAvgPool2d(),
    ops.Flatten(),
    ops.Dropout(0.5),
    ops.Linear(6),
    ops.BatchNorm(scale=True, shift=False),
    ops.Sigmoid(),
    ops.PReLU(per_channel=True),
    ops.Maxout(2),
    ops.Softmax(),
    ops.LogSoftmax(),
]


def model_of(graph: Graph) -> Model:
    """A graph with the golden rule's weights."""
    return Model(graph, hash_weights(graph), ModelCard(graph.name, "", "", "nin1:0", 1))


def export(model: Model, **options: Any) -> bytes:
    """The bytes of the exported file."""
    exporter = find("onnx")
    (data,) = exporter.export(model, exporter.Options(**options)).files.values()
    return data


def run(data: bytes, x: np.ndarray) -> np.ndarray:
    """The scores in onnxruntime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"input": x})
    return np.asarray(scores)


def every_op(*, open_size: bool = False) -> Graph:
    """A network that has each op at least once."""
    graph = Graph("every_op", TensorType((4, 13, 14)), open_size=open_size)
    for i, op in enumerate(EVERY_OP):
        graph = graph.then(f"layers.{i}", op)
    return graph


@pytest.mark.parametrize("name", golden_names())
def test_goldens(name: str) -> None:
    """Every published network, with the golden weights, gives its golden output to 1e-4."""
    graph = oracle_graph(name)
    scores = run(export(model_of(graph)), hash_input(graph.input.shape).astype(np.float32)).reshape(-1)
    expected = golden(name)["output_hash"]
    values = np.array(expected["values"])
    assert scores.size == expected["size"]
    assert np.linalg.norm(scores[: values.size] - values) <= 1e-4 * np.linalg.norm(values)
    assert np.linalg.norm(scores) == pytest.approx(expected["l2"], rel=1e-4)


def test_there_is_a_rule_for_every_op() -> None:
    """No op is forgotten, and the network above has them all."""
    assert set(RULES) == {*ops.all_ops(), Affine, ChannelOrder, Temperature}
    assert {type(op) for op in EVERY_OP} == set(ops.all_ops())


def test_a_missing_rule_is_a_diagnostic(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the spec's line, never a KeyError."""
    monkeypatch.delitem(RULES, ops.ReLU)
    with pytest.raises(ExportError, match=r"nin_cifar.yaml:\d+:\d+: error NIN602: .* no rule for ReLU"):
        export(nin_spec.compile("nin_cifar").initialise())


@pytest.mark.floors
@pytest.mark.parametrize("opset", [13, 17, 18, 20, 22, 26])
def test_every_opset_computes_the_same(opset: int) -> None:
    """What an opset lacks is written with what it has."""
    model = model_of(every_op())
    data = export(model, opset=opset)
    proto = onnx.load_from_string(data)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version == opset
    x = hash_input((4, 13, 14)).astype(np.float32)
    np.testing.assert_allclose(run(data, x), run(export(model), x), rtol=1e-5, atol=1e-6)


def test_the_defaults_suit_old_runtimes() -> None:
    """Opset 17 and IR version 8 unless asked otherwise."""
    proto = onnx.load_from_string(export(model_of(every_op())))
    assert (proto.opset_import[0].version, proto.ir_version) == (17, 8)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_batch(batch: int) -> None:
    """A batch gives what its images give alone."""
    graph = every_op()
    data = export(model_of(graph))
    x = np.random.default_rng(batch).standard_normal((batch, 4, 13, 14)).astype(np.float32)
    alone = np.concatenate([run(data, x[i : i + 1]) for i in range(batch)])
    np.testing.assert_allclose(run(data, x), alone, rtol=1e-5, atol=1e-6)


def test_a_fixed_batch() -> None:
    """`batch=3` takes three images and no other number."""
    data = export(model_of(every_op()), batch=3)
    assert run(data, np.zeros((3, 4, 13, 14), np.float32)).shape == (3, 3)
    with pytest.raises(Exception, match="Got: 2 Expected: 3"):
        run(data, np.zeros((2, 4, 13, 14), np.float32))


@pytest.mark.parametrize("size", [(13, 14), (16, 15), (11, 20), (24, 24)])
def test_an_open_size(size: tuple[int, int]) -> None:
    """An open network gives at each size what a network of that size gives."""
    data = export(model_of(every_op(open_size=True)))
    graph = Graph("fixed", TensorType((4, *size)))
    for i, op in enumerate(EVERY_OP):
        graph = graph.then(f"layers.{i}", op)
    x = hash_input((4, *size)).astype(np.float32)
    np.testing.assert_allclose(run(data, x), run(export(model_of(graph)), x), rtol=1e-5, atol=1e-6)


def test_an_open_ceil_average_raises_the_opset() -> None:
    """Opset 19 says what a partial window divides by; a lower one is refused, never written."""
    model = model_of(every_op(open_size=True))
    assert onnx.load_from_string(export(model)).opset_import[0].version == 19
    with pytest.raises(ExportError, match="opset 17 does not define the divisor"):
        export(model, opset=17)


def test_ceil_mode_is_written_without_it() -> None:
    """So that the pool stays in onnxruntime's blocked layout."""
    proto = onnx.load_from_string(export(nin_spec.compile("nin_cifar").initialise()))
    pools = {n.name: {a.name: a for a in n.attribute} for n in proto.graph.node if "Pool" in n.op_type}
    assert "ceil_mode" not in pools["blocks.1.pool"]
    assert list(pools["blocks.1.pool"]["pads"].ints) == [0, 0, 1, 1]
    assert pools["blocks.1.pool"]["count_include_pad"].i == 0


@pytest.mark.parametrize("name", shipped_names())
def test_floor_pools_padded_alike_are_written_so(name: str) -> None:
    """Readers that take the same padding at both ends alone read them then."""
    network = nin_spec.compile(name)
    alike = {n.name for n in network.graph if isinstance(n.op, ops.Pool2d) and n.op.even and not n.op.ceil_mode}
    for node in onnx.load_from_string(export(network.initialise())).graph.node:
        if node.name in alike and "Pool" in node.op_type:
            pads = next((list(a.ints) for a in node.attribute if a.name == "pads"), [0] * 4)
            assert pads[:2] == pads[2:], node.name


def test_names_are_ours() -> None:
    """Initializers carry the parameters' names, nodes the graph's."""
    network = nin_spec.compile("nin_cifar_bn")
    proto = onnx.load_from_string(export(network.initialise(), without="fold_batch_norm"))
    assert {t.name for t in proto.graph.initializer} == set(network.graph.parameters())
    assert {n.name for n in proto.graph.node} <= {n.name for n in network.graph}


def test_the_file_describes_itself() -> None:
    """Spec, hash, labels, preprocessing and counts are in the metadata, and the spec compiles again."""
    network = nin_spec.compile("nin_cifar")
    facts = {p.key: p.value for p in onnx.load_from_string(export(network.initialise())).metadata_props}
    assert facts["nin_spec.hash"] == network.hash
    assert nin_spec.compile(nin_spec.loads(facts["nin_spec.spec"])).hash == network.hash
    assert json.loads(facts["nin_spec.labels"])[:2] == ["airplane", "automobile"]
    assert json.loads(facts["nin_spec.preprocessing"])["layout"] == "HWC"
    assert facts["nin_spec.macs"] == "222486528"
    assert facts["nin_spec.parameters"] == "966986"
    assert facts["nin_spec.output"] == "scores"
    assert facts["nin_spec.dataset"] == "cifar10"


def test_without_a_recipe_no_data_set_is_named() -> None:
    """A fact that is not there has no key."""
    spec = "{spec: 1, name: bare, input: {channels: 1, size: 4}, classes: 2, blocks: [{channels: [2], kernel: 1}]}"
    model = nin_spec.compile(nin_spec.loads(spec)).initialise()
    assert "nin_spec.dataset" not in {p.key for p in onnx.load_from_string(export(model)).metadata_props}


def test_the_bytes_are_the_same_in_another_process() -> None:
    """Whatever the hash seed of the interpreter."""
    code = (
        "import hashlib, nin_spec; from nin_spec.exporter import find; e = find('onnx');"
        "(d,) = e.export(nin_spec.compile('nin_cifar').initialise(3), e.Options()).files.values();"
        "print(hashlib.sha256(d).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_float64_is_written_when_asked_for() -> None:
    """By default a float64 spec is written in float32, and that is said."""
    exporter = find("onnx")
    model = nin_spec.compile("seed_fixed_average_double").initialise()
    artifact = exporter.export(model, exporter.Options())
    assert artifact.remarks == ("the spec computes in float64, the file in float32",)
    proto = onnx.load_from_string(export(model, dtype="float64"))
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


def test_numbers_too_large_for_the_file_are_refused() -> None:
    """A weight that float32 can't hold does not become infinite."""
    graph = Graph("big", TensorType((1, 2, 2), "float64")).then("conv", ops.Conv2d(1, (1, 1), bias=False))
    model = Model(graph, {"conv.weight": np.full((1, 1, 1, 1), 1e300)}, ModelCard("big", "", "", "", 1))
    with pytest.raises(ExportError, match=r"conv.weight has values out of the range of float32"):
        export(model)


@pytest.mark.parametrize(("dtype", "hint"), [("float32", "fewer channels or units"), ("float64", "--dtype float32")])
def test_weights_beyond_the_format_are_refused(dtype: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how much they take, how much there is room for, and what makes them smaller."""
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    message = r"the weights are [\d,]+ bytes, but an ONNX file is limited to 2 GiB"
    with pytest.raises(ExportError, match=message) as caught:
        export(model_of(every_op()), dtype=dtype)
    assert hint in str(caught.value)


@pytest.mark.parametrize("batch", [0, -1, 1 << 30])
def test_a_batch_must_be_possible(batch: int) -> None:
    """Nonsense batches are refused."""
    with pytest.raises(ExportError, match=f"batch can't be {batch}"):
        export(model_of(every_op()), batch=batch)


def averages(*, count_include_pad: bool) -> list[ops.Pool2d]:
    """Pools whose last window hangs over, starts in the padding, or is alone."""
    return [
        pool
        for kernel, stride, padding in (
            ((3, 3), (2, 2), Padding()),
            ((3, 2), (2, 3), Padding(1, 1, 1, 1)),
            ((2, 2), (2, 2), Padding(1, 1, 1, 1)),
            ((4, 3), (3, 4), Padding(0, 3, 2, 0)),
        )
        for pool in (
            ops.MaxPool2d(kernel, stride, padding, ceil_mode=True),
            ops.AvgPool2d(kernel, stride, padding, ceil_mode=True, count_include_pad=count_include_pad),
        )
    ]


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("open_size", [False, True])
def test_pools_at_every_size(open_size: bool, count_include_pad: bool) -> None:  # noqa: FBT001
    """Onnxruntime computes what the nn.Module computes, for any overhang: written for the size, or for any."""
    for op in averages(count_include_pad=count_include_pad):
        anywhere = Graph("pool", TensorType((2, 6, 6)), open_size=True).then("pool", op)
        data = export(model_of(anywhere))
        for size in itertools.product((3, 4, 5, 6, 8), (2, 3, 7)):
            graph = Graph("pool", TensorType((2, *size))).then("pool", op)
            x = hash_input((2, *size)).astype(np.float32)
            wanted = build_module(graph)(torch.from_numpy(x)).numpy()
            got = run(data if open_size else export(model_of(graph), opset=13), x)
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6, err_msg=f"{op} at {size}")


def test_a_fixed_size_is_written_without_ceil_mode() -> None:
    """Not even where counted padding is hung over: the padding becomes cells."""
    proto = onnx.load_from_string(export(model_of(every_op())))
    attributes = {a.name for n in proto.graph.node for a in n.attribute}
    assert "pads" in attributes
    assert "ceil_mode" not in attributes


@pytest.mark.parametrize(("opset", "ir"), [(13, 7), (17, 8), (19, 9), (21, 10), (26, 13)])
def test_the_ir_version_is_that_of_the_opset(opset: int, ir: int) -> None:
    """A runtime that knows the opset never refuses the file for its envelope."""
    assert onnx.load_from_string(export(model_of(every_op()), opset=opset)).ir_version == ir


def test_a_network_of_identities_is_the_identity() -> None:
    """What has no layer left is still a file that runs."""
    graph = Graph("nothing", TensorType((2, 3, 3))).then("dropout", ops.Dropout())
    x = hash_input((2, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(run(export(model_of(graph)), x), x)


def test_a_float64_slope_keeps_its_digits() -> None:
    """An attribute would hold 32 bits of it."""
    graph = Graph("leaky", TensorType((1, 1, 2), "float64")).then("leaky", ops.LeakyReLU(0.01))
    x = np.array([[[[-1.0, 1.0]]]])
    assert run(export(model_of(graph), dtype="float64"), x).ravel().tolist() == [-0.01, 1.0]


def test_no_torch_is_needed() -> None:
    """The exporter loads neither torch nor onnxruntime, nor the heavy parts of onnx."""
    code = (
        "import sys, nin_spec; from nin_spec.exporter import find; e = find('onnx');"
        "e.export(nin_spec.compile('nin_mnist').initialise(), e.Options());"
        "print([m for m in ('torch', 'onnxruntime', 'onnx.reference', 'onnx.backend', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["max", "avg, count_include_pad: false", "avg, count_include_pad: true"])
@pytest.mark.parametrize("pool", ["kernel: 2, stride: 3", "kernel: 2, stride: 2, padding: 1", "kernel: 1, stride: 2"])
@pytest.mark.parametrize("size", [8, 9, 10])
def test_a_ceil_mode_pool_may_stay_one(kind: str, pool: str, size: int) -> None:
    """Where its last window would start behind the input ONNX counts one too many, and it is written otherwise."""
    spec = f"""\
spec: 1
name: ends
input: {{channels: 3, size: {size}}}
classes: 3
defaults: {{init: kaiming_normal}}
blocks: [{{channels: [4], kernel: 1, pool: {{kind: {kind}, {pool}, ceil_mode: true}}}}]
head: {{pool: none, dense: [classes]}}
"""
    model = nin_spec.compile(nin_spec.loads(spec)).initialise()
    (data,) = make(model, "onnx", {"without": "explicit_pools,pool_first"}).files.values()
    check_parity(model, data)
