"""Batch norm folded: into what, where not, and exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_parts import assert_same, graph_of, model_of

from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.passes.fold_batch_norm import fold_batch_norm
from nin_spec.passes.pipeline import in_dtype

CONV = ops.Conv2d(6, (3, 3), padding=Padding(1, 1, 1, 1), bias=False)
FLAT = (ops.AdaptiveAvgPool2d(), ops.Flatten())


@pytest.mark.parametrize(
    "steps",
    [
        (CONV, ops.BatchNorm()),
        (replace(CONV, bias=True, groups=3), ops.BatchNorm(scale=False)),
        (CONV, ops.BatchNorm(shift=False), ops.BatchNorm(scale=False, shift=False), ops.ReLU()),
        (ops.BatchNorm(), ops.Conv2d(6, (2, 2), (2, 1), dilation=(2, 1), groups=3, bias=False)),
        (ops.BatchNorm(), ops.Conv2d(4, (1, 1))),
        (*FLAT, ops.Linear(5, bias=False), ops.BatchNorm()),
        (*FLAT, ops.BatchNorm(), ops.Linear(5, bias=False)),
        (ops.AdaptiveMaxPool2d(), ops.Conv2d(5, (1, 1)), ops.Flatten(), ops.BatchNorm()),
        (ops.ReLU(), ops.BatchNorm(), CONV, ops.BatchNorm()),
    ],
)
def test_it_is_folded_and_the_function_stays(steps: tuple[ops.Op, ...]) -> None:
    """Behind a convolution or dense layer, before one that pads nothing, over the flatten of single cells."""
    model = model_of(graph_of(*steps))
    folded = fold_batch_norm(model)
    norms = [n for n in folded.graph if isinstance(n.op, ops.BatchNorm)]
    kept = 1 if isinstance(steps[0], ops.ReLU) else 0  # the one before the padded convolution
    assert len(norms) == kept
    assert_same(model, folded)


@pytest.mark.parametrize(
    "steps",
    [
        (ops.BatchNorm(), CONV),
        (CONV, ops.ReLU(), ops.BatchNorm()),
        (CONV, ops.MaxPool2d((2, 2), (2, 2)), ops.BatchNorm()),
        (CONV, ops.Flatten(), ops.BatchNorm()),
        (ops.BatchNorm(), ops.ReLU(), ops.Conv2d(4, (1, 1))),
        (ops.BatchNorm(),),
    ],
)
def test_it_stays_where_folding_would_change_the_function(steps: tuple[ops.Op, ...]) -> None:
    """Before padding, behind what is not linear, or where there is nothing to fold into."""
    model = model_of(graph_of(*steps))
    assert fold_batch_norm(model).graph == model.graph


def test_the_layer_keeps_its_names_and_gives_the_norms_value() -> None:
    """A bias appears under the convolution's own name."""
    folded = fold_batch_norm(model_of(graph_of(CONV, ops.BatchNorm(), ops.ReLU())))
    assert list(folded.weights) == ["layers.0.weight", "layers.0.bias"]
    assert [(n.name, n.computes) for n in folded.graph] == [("layers.0", "layers.1"), ("layers.2", "layers.2")]


def test_over_a_flatten_the_flatten_gives_the_value() -> None:
    """The convolution gives one that the spec has not."""
    folded = fold_batch_norm(model_of(graph_of(*FLAT[:1], ops.Conv2d(5, (1, 1)), ops.Flatten(), ops.BatchNorm())))
    assert [(n.name, n.computes) for n in folded.graph][1:] == [("layers.1", ""), ("layers.2", "layers.3")]


def test_weights_keep_their_dtype() -> None:
    """The arithmetic is in float64, the result in the graph's numbers, rounded once."""
    exact = model_of(graph_of(CONV, ops.BatchNorm()))
    single = in_dtype(exact, "float32")
    folded, wanted = fold_batch_norm(single), fold_batch_norm(in_dtype(single, "float64"))
    for name, array in folded.weights.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted.weights[name].astype(np.float32))


@pytest.mark.parametrize(("name", "value"), [("running_var", -1.0), ("weight", 1e308)])
def test_what_can_not_be_held_is_not_folded(name: str, value: float) -> None:
    """A fold that gives no finite numbers would hide what the norm really does."""
    graph = graph_of(CONV, ops.BatchNorm())
    model = model_of(graph)
    weights = {**model.weights, f"layers.1.{name}": np.full(6, value)}
    weights["layers.0.weight"] = weights["layers.0.weight"] * 1e10
    assert fold_batch_norm(replace(model, weights=weights)).graph == graph
