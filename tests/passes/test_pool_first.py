"""Averages moved before 1x1 convolutions: which, over what, and exactly."""

from __future__ import annotations

import pytest
from model_parts import assert_same, graph_of, model_of

from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.model import Model
from nin_spec.passes.pipeline import on_graph
from nin_spec.passes.pool_first import pool_first

CELL = ops.Conv2d(6, (1, 1))
MEAN = ops.AdaptiveAvgPool2d()
PADDED = Padding(1, 1, 1, 1)


def names(model: Model) -> list[str]:
    """The nodes' names in order."""
    return [n.name for n in model.graph]


def macs(model: Model) -> int:
    """Of the whole graph."""
    return sum(n.op.macs(n.input) for n in model.graph)


@pytest.mark.parametrize(
    "steps",
    [
        (CELL, MEAN),
        (ops.Conv2d(6, (1, 1), groups=3, bias=False), MEAN),
        (CELL, ops.BatchNorm(), ops.Dropout2d(), ops.ChannelShuffle(2), CELL, ops.Dropout(), MEAN),
        (CELL, ops.AvgPool2d((3, 3), (2, 2), PADDED)),
        (CELL, ops.AvgPool2d((3, 3), (2, 2), ceil_mode=True)),
        (CELL, ops.AvgPool2d((3, 3), (2, 2), ceil_mode=True, count_include_pad=True)),
        (CELL, ops.AvgPool2d((2, 2), (2, 2), Padding(0, 1, 0, 1), count_include_pad=True)),
        (CELL, ops.AvgPool2d((2, 2), (2, 2)), CELL, MEAN, CELL),
    ],
)
def test_it_moves_and_the_function_stays(steps: tuple[ops.Op, ...]) -> None:
    """Over every layer that is affine by cell, to the first convolution, and over several."""
    model = model_of(graph_of(*steps))
    moved = on_graph(pool_first)(model)
    assert isinstance(moved.graph.nodes[0].op, ops.AvgPool2d | ops.AdaptiveAvgPool2d)
    assert macs(moved) < macs(model)
    assert_same(model, moved)


@pytest.mark.parametrize(
    "steps",
    [
        (CELL, ops.ReLU(), MEAN),
        (CELL, ops.AdaptiveMaxPool2d()),
        (ops.Conv2d(6, (2, 2)), MEAN),
        (ops.Conv2d(6, (1, 1), padding=PADDED), MEAN),
        (ops.Conv2d(6, (1, 1), stride=(2, 2)), MEAN),
        (CELL, ops.AvgPool2d((3, 3), (2, 2), PADDED, count_include_pad=True)),
        (CELL, ops.AvgPool2d((3, 3), (1, 1), PADDED)),
        (ops.BatchNorm(), MEAN),
    ],
)
def test_it_stays_where_that_would_change_the_function_or_save_nothing(steps: tuple[ops.Op, ...]) -> None:
    """Behind what is not linear, before what is not an average, with counted padding, or for no fewer cells."""
    graph = graph_of(*steps)
    assert pool_first(graph) == graph


def test_an_open_size_moves_what_is_an_average_at_any_size() -> None:
    """Padding that no window touches at the nominal size may be touched at another."""
    counted = ops.AvgPool2d((2, 2), (2, 2), Padding(0, 1, 0, 1), count_include_pad=True)
    graph = graph_of(CELL, counted, open_size=True)
    assert pool_first(graph) == graph
    assert [n.name for n in pool_first(graph_of(CELL, MEAN, open_size=True))] == ["layers.1", "layers.0"]


def test_values_are_reported() -> None:
    """The last layer moved over gives the pool's value, the others none that the spec has."""
    moved = pool_first(graph_of(ops.ReLU(), CELL, ops.BatchNorm(), MEAN))
    found = [(n.name, n.computes) for n in moved]
    assert found == [("layers.0", "layers.0"), ("layers.3", ""), ("layers.1", ""), ("layers.2", "layers.3")]
