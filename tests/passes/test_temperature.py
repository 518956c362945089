"""A temperature divides the scores, wherever it is computed: as a node, or in the weights of the last layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from spec_strategies import specs, to_text
from target_probes import OPS

import nin_spec
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.pixels import Affine
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import Padding, TensorType
from nin_spec.model import Model
from nin_spec.passes.fold_temperature import HOMOGENEOUS, fold_temperature
from nin_spec.passes.pipeline import in_dtype, rewrite
from nin_spec.passes.temperature import calibrated, temperature_of, with_temperature
from nin_spec.torch_module import build_module

SPEC = """\
spec: 1
name: small
input: {{channels: 1, size: 6}}
classes: 3
blocks:
  - {{channels: [4], kernel: 3}}
  - convs: [{{channels: classes, {last}}}]
    kernel: 3
head: {{{head}}}
"""


def small(last: str = "activation: none", head: str = "pool: global_avg") -> Model:
    """A model in float64 with random weights, batch norms moved from their start too."""
    model = nin_spec.compile(nin_spec.loads(SPEC.format(last=last, head=head))).initialise(1)
    random = np.random.default_rng(0)
    weights = {n: np.abs(w + random.standard_normal(w.shape)).astype(w.dtype) for n, w in model.weights.items()}
    return in_dtype(Model(model.graph, weights, model.card), "float64")


def scores(model: Model) -> np.ndarray:
    """Of the same noise."""
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((5, *model.graph.input.shape)))
    with torch.inference_mode():
        found: np.ndarray = build_module(model)(x).numpy()
    return found


def is_folded(model: Model) -> bool:
    """Whether no node divides."""
    return temperature_of(fold_temperature(model).graph) is None


@pytest.mark.parametrize(
    "last",
    [
        "activation: none",
        "activation: relu",
        "activation: {kind: leaky_relu, slope: 0.3}",
        "activation: prelu",
        "activation: none, norm: batch",
        "activation: relu, norm: {kind: batch, affine: true}",
        "activation: none, bias: false",
    ],
)
@pytest.mark.parametrize("head", ["pool: global_avg", "pool: global_max", "pool: {kind: avg, kernel: 2}"])
def test_it_goes_into_the_last_layer(last: str, head: str) -> None:
    """Through pools and what is homogeneous: the same scores, and nothing left to compute."""
    model = with_temperature(small(last, head), 0.3)
    np.testing.assert_allclose(scores(model), scores(small(last, head)) / 0.3, rtol=1e-12)
    assert is_folded(model)
    folded = fold_temperature(model)
    assert folded.graph.nodes[-1].computes == "temperature"
    np.testing.assert_allclose(scores(folded), scores(model), rtol=1e-12)


@pytest.mark.parametrize("last", ["activation: sigmoid", "activation: gelu", "activation: none, norm: lrn"])
def test_it_stays_where_it_can_not_go(last: str) -> None:
    """After what is not homogeneous it remains a node."""
    model = with_temperature(small(last), 0.3)
    assert not is_folded(model)
    np.testing.assert_allclose(scores(rewrite(model).model), scores(small(last)) / 0.3, rtol=1e-12)


@pytest.mark.parametrize("end", ["softmax", "log_softmax"])
def test_probabilities_are_those_of_the_divided_scores(end: str) -> None:
    """A network that ends in a softmax still does, and its scores are divided before."""
    plain = scores(small())
    found = scores(fold_temperature(with_temperature(small(head=f"pool: global_avg, output: {end}"), 2.5)))
    divided = torch.from_numpy(plain / 2.5)
    wanted = divided.softmax(1) if end == "softmax" else divided.log_softmax(1)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12)


HOSTS = (ops.Conv2d, ops.Linear, Affine)
OTHERS = [
    *(op for op in OPS if not isinstance(op, HOSTS)),
    ops.MaxPool2d((3, 2), (2, 2), Padding(1, 0, 1, 0), ceil_mode=True),
    ops.AvgPool2d((3, 2), (2, 2), Padding(1, 0, 1, 0), count_include_pad=True),
]


@pytest.mark.parametrize("op", OTHERS, ids=str)
def test_what_it_passes_through_is_homogeneous(op: ops.Op) -> None:
    """Every op of the list multiplies what is multiplied by 3; every other one does not."""
    flat = isinstance(op, ops.Softmax | ops.LogSoftmax)
    shape = (12,) if flat else (12, 7, 7)
    graph = Graph("one", TensorType(shape, "float64")).then("op", op)
    random = np.random.default_rng(0)
    weights = {n: np.abs(random.standard_normal(p.shape)) + 0.1 for n, p in graph.parameters().items()}
    model = Model(graph, weights, nin_spec.compile("nin_digits").card)
    x = torch.from_numpy(random.standard_normal((2, *shape)))
    with torch.inference_mode():
        module = build_module(model)
        passes = bool(torch.allclose(module(3 * x), 3 * module(x), rtol=1e-9, atol=1e-9))
    assert passes == isinstance(op, HOMOGENEOUS)


@given(spec=specs())
def test_any_network_can_be_calibrated(spec: Any) -> None:
    """The same order of classes, and one temperature: in the graph, and gone or still there after the passes."""
    network = nin_spec.compile(nin_spec.loads(to_text(spec)))
    model = with_temperature(network.initialise(0), 0.25)
    assert temperature_of(model.graph) == 0.25
    assert model.graph.output == network.graph.output
    assert list(model.weights) == list(network.graph.parameters())
    made = rewrite(model).model
    assert temperature_of(made.graph) in {None, 0.25}
    with pytest.raises(ValueError, match="already"):
        with_temperature(model, 2)


def test_only_a_positive_number_is_a_temperature() -> None:
    """Zero, infinity and NaN are refused; none is none."""
    for value in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive and finite"):
            with_temperature(small(), value)
    model = small()
    assert calibrated(model, None) is model


def test_weights_that_would_overflow_are_left() -> None:
    """A division that float32 can't hold is not folded."""
    model = in_dtype(small(), "float32")
    assert is_folded(with_temperature(model, 1e-30))
    assert not is_folded(with_temperature(model, 1e-39))


def test_its_op_says_what_it_is() -> None:
    """In the text of a graph."""
    assert "Temperature(value=0.5)" in str(with_temperature(small(), 0.5).graph).replace("temperature  ", "")
    assert Temperature(0.5) == Temperature(0.5) != Temperature(0.25)
