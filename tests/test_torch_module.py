"""The nn.Module is the reference: exact on the published networks, with our names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from examples import many
from hypothesis import given
from hypothesis import strategies as st
from oracle_graphs import golden, golden_names, hash_input, hash_weights, oracle_graph

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import Padding, ShapeError, TensorType
from nin_spec.model import Model, ModelCard
from nin_spec.torch_layers import UnevenPool2d
from nin_spec.torch_module import RULES, build_module


def model_of(graph: Graph) -> Model:
    """A graph with the golden rule's weights."""
    return Model(graph, hash_weights(graph), ModelCard(graph.name, "", "", "", 1))


@pytest.mark.parametrize("name", golden_names())
def test_goldens(name: str) -> None:
    """Every published network in float64 gives its golden output to 1e-6, and its shapes layer by layer."""
    graph, facts = oracle_graph(name), golden(name)
    x = torch.from_numpy(hash_input(graph.input.shape))
    with torch.inference_mode():
        trace = list(build_module(model_of(graph)).trace(x))
    assert [list(y.shape[1:]) for _, y in trace] == facts["shapes"]
    scores, expected = trace[-1][1].numpy().reshape(-1), facts["output_hash"]
    values = np.array(expected["values"])
    assert np.linalg.norm(scores[: values.size] - values) <= 1e-6 * np.linalg.norm(values)
    assert np.linalg.norm(scores) == pytest.approx(expected["l2"], rel=1e-6)


def test_there_is_a_layer_for_every_op() -> None:
    """No op is forgotten."""
    assert set(RULES) == {*ops.all_ops(), Affine, ChannelOrder, Temperature}


def test_a_missing_layer_is_a_diagnostic(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the spec's line, never a KeyError."""
    monkeypatch.delitem(RULES, ops.ReLU)
    with pytest.raises(ExportError, match=r"nin_cifar.yaml:\d+:\d+: error NIN602"):
        build_module(nin_spec.compile("nin_cifar").graph)


@pytest.mark.parametrize("name", ["nin_cifar", "nin_cifar_bn", "nin_mnist"])
def test_the_state_dict_has_our_names(name: str) -> None:
    """And the weights of the model, loaded strictly; only batch norm's counters come on top."""
    model = nin_spec.compile(name).initialise(3)
    state = build_module(model).state_dict()
    ours = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert set(model.weights) == set(ours)
    assert all(np.array_equal(model.weights[k], v.numpy()) for k, v in ours.items())


def test_training_does_not_reach_back() -> None:
    """The module has a copy of the weights."""
    model = nin_spec.compile("nin_mnist").initialise()
    before = {k: v.copy() for k, v in model.weights.items()}
    with torch.no_grad():
        for parameter in build_module(model).parameters():
            parameter.zero_()
    assert all(np.array_equal(before[k], v) for k, v in model.weights.items())


def test_a_shift_only_norm_learns_its_shift_alone() -> None:
    """What a norm lacks is not a parameter."""
    graph = Graph("norms", TensorType((3, 4, 4))).then("a", ops.BatchNorm(scale=False))
    names = [name for name, _ in build_module(graph.then("b", ops.BatchNorm(shift=False))).named_parameters()]
    assert names == ["a.bias", "b.weight"]


def naive_pool(x: np.ndarray, op: ops.Pool2d) -> np.ndarray:
    """A pool by its definition, window by window."""
    (oh, ow), p, h, w = op.counts(TensorType(x.shape)), op.padding, *x.shape[1:]
    out = np.zeros((x.shape[0], oh, ow))
    for i in range(oh):
        for j in range(ow):
            top, left = i * op.stride[0] - p.top, j * op.stride[1] - p.left
            bottom, right = min(top + op.kernel_size[0], h + p.bottom), min(left + op.kernel_size[1], w + p.right)
            window = x[:, max(top, 0) : min(bottom, h), max(left, 0) : min(right, w)]
            if isinstance(op, ops.AvgPool2d):
                cells = (bottom - top) * (right - left) if op.count_include_pad else window[0].size
                out[:, i, j] = window.sum((1, 2)) / cells
            else:
                out[:, i, j] = window.max((1, 2))
    return out


@many
@given(data=st.data(), ceil_mode=st.booleans(), average=st.booleans(), count=st.booleans())
def test_pools_follow_their_definition(data: st.DataObject, ceil_mode: bool, average: bool, count: bool) -> None:  # noqa: FBT001
    """Any kernel, stride, side padding, rounding and size, through PyTorch's pools or our own."""
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = Padding(*(data.draw(st.integers(0, k - 1)) for k in (kernel[0], kernel[0], kernel[1], kernel[1])))
    size = data.draw(st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)))
    op: ops.Pool2d = ops.MaxPool2d(kernel, stride, padding, ceil_mode)
    if average:
        op = ops.AvgPool2d(kernel, stride, padding, ceil_mode, count)
    try:
        graph = Graph("pool", TensorType(size, "float64")).then("pool", op)
    except ShapeError:
        return
    x = np.random.default_rng(0).standard_normal(size)
    layers = [build_module(graph)]
    how = {"ceil_mode": ceil_mode, "count_include_pad": count if average else None}
    layers.append(UnevenPool2d(kernel, stride, padding.lrtb, **how))  # type: ignore[arg-type]
    for layer in layers:
        np.testing.assert_allclose(layer(torch.from_numpy(x[None])).numpy()[0], naive_pool(x, op), rtol=1e-12)


def test_uneven_convolutions_pad_their_sides() -> None:
    """One cell at the bottom and right, as TensorFlow's `same` does."""
    op = ops.Conv2d(2, (2, 2), padding=Padding(0, 1, 0, 1), bias=False)
    graph = Graph("conv", TensorType((1, 3, 3), "float64")).then("conv", op)
    module = build_module(model_of(graph))
    x = torch.arange(9, dtype=torch.float64).reshape(1, 1, 3, 3)
    padded = torch.nn.functional.pad(x, (0, 1, 0, 1))
    expected = torch.nn.functional.conv2d(padded, module.get_submodule("conv").weight)  # type: ignore[arg-type]
    assert torch.equal(module(x), expected)


def test_the_repr_shows_the_layers() -> None:
    """A notebook shows names and settings, those of our own layers too."""
    graph = Graph("odd", TensorType((2, 6, 6)))
    graph = graph.then("blocks.0.convs.0", ops.Conv2d(4, (2, 2), padding=Padding(0, 1, 0, 0)))
    graph = graph.then("blocks.0.pool", ops.AvgPool2d((3, 3), (2, 2), Padding(0, 1, 0, 1)))
    text = repr(build_module(graph.then("blocks.0.activations.0", ops.Maxout(2))))
    assert "pads=(0, 0, 0, 1)" in text
    assert "sides=(0, 1, 0, 1)" in text
    assert "Maxout(pieces=2)" in text
