"""What a device lacks is written in what it has: exactly, only for the devices named, and reported."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from oracle_graphs import hash_weights
from test_onnx_file import every_op, export, model_of, run

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import make
from nin_spec.exporters.onnx_lowering import lowerings
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, TensorType
from nin_spec.precision.float16 import to_float16
from nin_spec.provider_gaps import GAPS, OPSET, lowered_devices, written_for
from nin_spec.torch_module import build_module

POINTWISE = [ops.ReLU(), ops.LeakyReLU(0.1), ops.ELU(0.7), ops.GELU(), ops.GELU(approximate=True), ops.SiLU()]
POINTWISE += [ops.Hardswish(), ops.Mish(), ops.Sigmoid(), ops.Tanh()]


def chain(*found: ops.Op, shape: tuple[int, ...] = (3, 5, 6), **options: Any) -> Graph:
    """A graph of these ops."""
    graph = Graph("chain", TensorType(shape), **options)
    for i, op in enumerate(found):
        graph = graph.then(f"layers.{i}", op)
    return graph


def kinds(data: bytes) -> list[str]:
    """The operators of a file; "Apart" is a Max of a value with itself."""
    nodes = onnx.load_from_string(data).graph.node
    return ["Apart" if n.op_type == "Max" and n.input[0] == n.input[1] else n.op_type for n in nodes]


def reference(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The nn.Module's result in float64."""
    module = build_module(graph).double()
    module.load_state_dict({name: torch.from_numpy(w.astype(np.float64)) for name, w in hash_weights(graph).items()})
    with torch.inference_mode():
        return np.asarray(module(torch.from_numpy(x.astype(np.float64))).numpy())


def close(graph: Graph, x: np.ndarray, tolerance: float = 1e-5, **options: Any) -> list[str]:
    """The operators of a graph's file for every device, once it was compared."""
    data = export(model_of(graph), lower_for=lowered_devices(), **options)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    wanted = reference(graph, x)
    np.testing.assert_allclose(run(data, x), wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    return kinds(data)


def pictures(*shape: int, scale: float = 1.0) -> np.ndarray:
    """Seeded noise."""
    return (np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32)


def test_every_row_that_says_how_is_written() -> None:
    """The table and the lowerings are of one another."""
    for gap in GAPS:
        assert bool(lowerings([gap.device])) == (gap.device in lowered_devices())
    rows = {gap.name for gap in GAPS if gap.instead} - {OPSET}
    assert len(lowerings(lowered_devices())) == len(rows)
    assert written_for("cpu", "cuda", "auto") == {}
    assert written_for("cpu", "webgpu") == {"lower_for": ("webgpu",)}


@pytest.mark.parametrize("opset", [13, 17, 18, 20, 21])
def test_every_op_computes_the_same(opset: int) -> None:
    """At each opset, without the operators that are missing."""
    graph = every_op()
    found = close(graph, pictures(2, 4, 13, 14), opset=opset)
    assert not {"LRN", "LogSoftmax"} & set(found)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize(("alpha", "beta", "k"), [(1e-4, 0.75, 1.0), (0.9, 0.3, 1e-3), (30.0, 1.7, 2.0)])
def test_lrn(size: int, alpha: float, beta: float, k: float) -> None:
    """Windows narrower and wider than the channels, at a fixed and at an open size."""
    op = ops.LocalResponseNorm(size, alpha, beta, k)
    for open_size in (False, True):
        graph = chain(op, ops.AdaptiveAvgPool2d(), ops.Flatten(), shape=(5, 4, 3), open_size=open_size)
        assert "LRN" not in close(graph, pictures(2, 5, 4, 3, scale=3))


def test_lrn_in_float16() -> None:
    """Squares of large numbers do not overflow; small ones are as exact as float16 allows."""
    graph = chain(ops.LocalResponseNorm(5, 1e-4, 0.75, 2.0), ops.AdaptiveAvgPool2d(), ops.Flatten(), shape=(6, 4, 4))
    data, _ = to_float16(export(model_of(graph), lower_for="webgpu"))
    for scale in (0.01, 1.0, 600.0):
        x = pictures(2, 6, 4, 4, scale=scale)
        wanted = reference(graph, x)
        np.testing.assert_allclose(run(data, x), wanted, rtol=1e-2, atol=2e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_log_softmax(scale: float) -> None:
    """Scores so far apart that a softmax would be 0 keep their logarithm; in float16 these nodes stay in float32."""
    graph = chain(ops.LogSoftmax(), shape=(7,))
    x = pictures(3, 7, scale=scale)
    assert "LogSoftmax" not in close(graph, x)
    half, _ = to_float16(export(model_of(graph), lower_for="webgpu"))
    np.testing.assert_allclose(run(half, x), reference(graph, x), rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(POINTWISE, repeat=2)), ids=repr)
def test_two_activations(first: ops.Pointwise, second: ops.Pointwise) -> None:
    """The second does nothing behind the first and is left out, or is kept apart from it by one node."""
    graph = chain(ops.Conv2d(4, (1, 1)), first, second, ops.AdaptiveAvgPool2d(), ops.Flatten())
    found = close(graph, pictures(2, 3, 5, 6, scale=2))
    idle = isinstance(first, ops.ReLU | ops.Sigmoid) and isinstance(second, ops.ReLU | ops.LeakyReLU | ops.ELU)
    assert ("Identity" in found, "Apart" in found) == (idle, not idle)


@pytest.mark.parametrize(
    ("before", "parted"),
    [
        ([ops.Conv2d(4, (1, 1)), ops.ReLU(), ops.Dropout(0.5)], True),
        ([ops.Conv2d(4, (1, 1)), ops.BatchNorm(), ops.ReLU()], True),
        ([ops.Conv2d(4, (1, 1)), ops.ReLU(), ops.Tanh()], True),
        ([ops.Conv2d(4, (1, 1)), ops.ReLU(), ops.MaxPool2d((2, 2), (2, 2))], False),
        ([ops.Conv2d(4, (1, 1)), ops.PReLU()], False),
        ([ops.Conv2d(4, (1, 1)), ops.MaxPool2d((2, 2), (2, 2)), ops.ReLU()], False),
        ([ops.ReLU()], False),
        ([], False),
    ],
    ids=str,
)
def test_only_what_the_optimiser_would_fuse_is_parted(before: list[ops.Op], parted: bool) -> None:  # noqa: FBT001
    """Activations that follow one another behind a convolution."""
    graph = chain(*before, ops.Tanh(), ops.AdaptiveAvgPool2d(), ops.Flatten())
    assert ("Apart" in close(graph, pictures(2, 3, 5, 6), without="fold_batch_norm")) == parted


@pytest.mark.parametrize(
    ("before", "op", "parted"),
    [
        (6, ops.Conv2d(4, (3, 2)), True),
        (9, ops.Conv2d(8, (3, 3), padding=Padding(1, 1, 2, 0), stride=(2, 1)), True),
        (6, ops.Conv2d(4, (1, 1), stride=(2, 2), bias=False), True),
        (6, ops.Conv2d(4, (1, 1)), False),
        (6, ops.Conv2d(5, (3, 2)), False),
        (12, ops.Conv2d(4, (3, 2)), False),
        (3, ops.Conv2d(4, (3, 2)), False),
        (18, ops.Conv2d(12, (3, 2), groups=3), False),
    ],
    ids=str,
)
def test_input_channels_in_threes(before: int, op: ops.Conv2d, parted: bool) -> None:  # noqa: FBT001
    """Channels of zeros make them a multiple of four."""
    graph = chain(op, ops.AdaptiveAvgPool2d(), ops.Flatten(), shape=(before, 5, 6))
    assert ("Apart" in close(graph, pictures(2, before, 5, 6))) == parted


POOL = ops.MaxPool2d((2, 2), (1, 1))


@pytest.mark.parametrize(
    ("before", "parted"),
    [
        ([ops.Conv2d(4, (1, 1)), POOL], True),
        ([ops.Conv2d(4, (1, 1)), ops.BatchNorm(), ops.Dropout(0.5), POOL, ops.BatchNorm()], True),
        ([ops.Conv2d(4, (1, 1)), POOL, ops.Tanh()], True),
        ([ops.Conv2d(4, (1, 1)), ops.Tanh(), POOL], False),
        ([ops.Conv2d(4, (1, 1)), POOL, POOL], False),
        ([ops.Conv2d(4, (1, 1)), ops.AvgPool2d((2, 2), (1, 1))], False),
        ([POOL], False),
        ([], False),
    ],
    ids=str,
)
def test_activations_after_a_max_pool(before: list[ops.Op], parted: bool) -> None:  # noqa: FBT001
    """Those that fall somewhere are kept behind a max pool of a convolution's maps; the others need nothing."""
    falling = [op for op in POINTWISE if not op.monotone]
    assert falling
    for op in POINTWISE:
        graph = chain(*before, op, ops.AdaptiveAvgPool2d(), ops.Flatten())
        found = close(graph, pictures(2, 3, 5, 6, scale=3), without="fold_batch_norm")
        assert ("Apart" in found) == (parted and op in falling), op


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.05, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("op", [ops.Tanh(), ops.ELU(), ops.ELU(0.7)], ids=repr)
def test_activations_of_small_numbers(op: ops.Pointwise, scale: float) -> None:
    """As exact as the numbers themselves, at every size."""
    graph = chain(op, shape=(1, 20, 25))
    x = (np.linspace(-1, 1, 500) * scale).reshape(1, 1, 20, 25).astype(np.float32)
    data = export(model_of(graph), lower_for="webgpu")
    wanted = op.values(np, x.astype(np.float64))
    tolerance = 3e-7 if scale < 0.05 else 4e-6
    np.testing.assert_allclose(run(data, x), wanted, rtol=tolerance)


@pytest.mark.parametrize("op", POINTWISE, ids=repr)
def test_what_is_monotone_never_falls(op: ops.Pointwise) -> None:
    """And what is not falls somewhere."""
    values = op.values(np, np.linspace(-30, 30, 20_001))
    assert op.monotone == bool((np.diff(values) >= -1e-12).all())


END = Padding(bottom=2, right=1)


@pytest.mark.parametrize(
    ("op", "size", "parted"),
    [
        (ops.Conv2d(4, (3, 2), padding=Padding(right=1)), (3, 2), True),
        (ops.Conv2d(4, (3, 2), stride=(2, 1), padding=END), (3, 2), True),
        (ops.Conv2d(4, (3, 2), padding=END, dilation=(2, 2)), (3, 2), True),
        (ops.Conv2d(4, (3, 2), padding=END, bias=False), (3, 3), False),
        (ops.Conv2d(4, (3, 2), padding=Padding(top=1, right=1)), (3, 2), False),
        (ops.Conv2d(4, (3, 2)), (3, 2), False),
        (ops.Conv2d(4, (3, 2), padding=END, groups=2), (3, 2), False),
        (ops.Conv2d(4, (1, 1), padding=END), (5, 6), True),
        (ops.Conv2d(4, (1, 1), padding=END, stride=(1, 2)), (5, 6), False),
        (ops.Conv2d(4, (1, 1), padding=END, stride=(1, 2)), (1, 1), True),
    ],
    ids=str,
)
def test_padding_at_the_end(op: ops.Conv2d, size: tuple[int, int], parted: bool) -> None:  # noqa: FBT001
    """It goes before a convolution whose kernel has the input's size, and one that is 1x1 with stride 1."""
    graph = chain(op, ops.AdaptiveAvgPool2d(), ops.Flatten(), shape=(2, *size))
    x = pictures(2, 2, *size)
    assert close(graph, x)[: 3 if parted else 1] == (["Pad", "Apart", "Conv"] if parted else ["Conv"])
    half, _ = to_float16(export(model_of(graph), lower_for="webgpu"))
    wanted = reference(graph, x)
    np.testing.assert_allclose(run(half, x), wanted, rtol=1e-2, atol=2e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_padding_at_the_end_of_an_open_size(opset: int) -> None:
    """The input may have the kernel's size, so it always goes before; more groups than one are right."""
    for groups in (1, 2):
        op = ops.Conv2d(4, (3, 2), padding=END, groups=groups)
        graph = chain(op, ops.AdaptiveAvgPool2d(), ops.Flatten(), shape=(2, 5, 5), open_size=True)
        for size in ((5, 5), (3, 2)):
            assert ("Pad" in close(graph, pictures(2, 2, *size), opset=opset)) == (groups == 1)


def test_a_file_for_no_device_is_as_before() -> None:
    """Every provider but those of the table computes it, and its metadata names no device."""
    proto = onnx.load_from_string(export(model_of(every_op())))
    assert {"LRN", "LogSoftmax"} <= {node.op_type for node in proto.graph.node}
    assert "nin_spec.lowered_for" not in {p.key for p in proto.metadata_props}


def test_what_changed_is_reported() -> None:
    """Under the device, at the node's line in the spec; nothing where nothing had to."""
    network = nin_spec.compile(nin_spec.loads(SPEC))
    (*_, told) = make(network.initialise(), "onnx", {"lower_for": "webgpu"}).passes
    assert told.name == "for webgpu"
    assert [(c.node, c.span.line if c.span else 0, c.what) for c in told.changes] == [
        ("blocks.0.norms.0", 6, f"LocalResponseNorm({LRN}) written as Mul, Mul, Transpose, AveragePool, {REST}"),
        ("blocks.1.activation", 7, f"Tanh() written as Max, Tanh, {TERMS}"),
        ("head.output", 8, "LogSoftmax() written as ReduceMax, Sub, Exp, ReduceSum, Log, Sub"),
    ]
    (*_, idle) = make(nin_spec.compile("nin_digits").initialise(), "onnx", {"lower_for": "webgpu"}).passes
    assert idle.changes == ()


LRN = "size=3, alpha=0.0001, beta=0.75, k=1.0"
TERMS = "Max, Min, Mul, Mul, Sub, Mul, Mul, Add, Tanh, Sub, Add"
REST = "Transpose, Add, Log, Mul, Exp, Mul"
SPEC = """\
spec: 1
name: told
input: {channels: 3, size: 8}
classes: 2
blocks:
  - {channels: [4], kernel: 3, norm: {kind: lrn, size: 3}, order: [norm, conv, activation]}
  - {activation: tanh}
head: {dense: [classes], output: log_softmax}
"""


def test_an_opset_without_kernels_is_refused() -> None:
    """With the highest that has them; a file for no device may have any."""
    with pytest.raises(ExportError, match=r"no kernels for the pools of opset 22\n.*hint: use opset 21 or lower"):
        export(model_of(every_op()), opset=22, lower_for="webgpu")
    assert export(model_of(every_op()), opset=22)


def test_an_unknown_device_is_refused() -> None:
    """With what is known."""
    with pytest.raises(ExportError, match="webgpu"):
        make(nin_spec.compile("nin_digits").initialise(), "onnx", {"lower_for": "webgp"})
