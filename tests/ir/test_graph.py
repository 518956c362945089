"""Ops and the chain that they form: no graph is ill-typed, and every op says what it is."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.text import print_op
from nin_spec.ir.types import Padding, ShapeError, TensorType

START = Graph("g", TensorType((6, 8, 8)))

SHAPES: list[tuple[ops.Op, tuple[int, ...]]] = [
    (ops.Conv2d(4, (3, 3)), (4, 6, 6)),
    (ops.Conv2d(4, (3, 3), (2, 2), Padding(1, 1, 1, 1)), (4, 4, 4)),
    (ops.Conv2d(4, (2, 3), (1, 2), Padding(0, 1, 1, 2), (3, 1)), (4, 6, 5)),
    (ops.Conv2d(9, (1, 1), groups=3), (9, 8, 8)),
    (ops.MaxPool2d((3, 3), (2, 2)), (6, 3, 3)),
    (ops.MaxPool2d((3, 3), (2, 2), ceil_mode=True), (6, 4, 4)),
    (ops.AvgPool2d((3, 2), (2, 3), Padding(1, 1, 0, 1)), (6, 4, 3)),
    (ops.AdaptiveAvgPool2d(), (6, 1, 1)),
    (ops.AdaptiveMaxPool2d(), (6, 1, 1)),
    (ops.Maxout(3), (2, 8, 8)),
    (ops.ChannelShuffle(2), (6, 8, 8)),
    (ops.Flatten(), (384,)),
    (ops.BatchNorm(), (6, 8, 8)),
    (ops.LocalResponseNorm(5), (6, 8, 8)),
    (ops.PReLU(), (6, 8, 8)),
    (ops.Dropout2d(), (6, 8, 8)),
]


@pytest.mark.parametrize(("op", "shape"), SHAPES, ids=[print_op(op) for op, _ in SHAPES])
def test_shape_rules(op: ops.Op, shape: tuple[int, ...]) -> None:
    """Each op's output shape, worked out by hand."""
    assert START.then("n", op).output == TensorType(shape)


WRONG: list[tuple[ops.Op, str]] = [
    (ops.Conv2d(4, (9, 1)), "covers 9x1 cells and does not fit into 8x8"),
    (ops.Conv2d(4, (3, 3), dilation=(4, 1)), "covers 9x3 cells"),
    (ops.Conv2d(4, (1, 1), groups=4), "6 input channels can't be split into 4 groups"),
    (ops.Conv2d(4, (1, 1), groups=3), "4 output channels can't be split into 3 groups"),
    (ops.MaxPool2d((9, 9), (1, 1)), "the 9x9 window does not fit into 8x8"),
    (ops.MaxPool2d((2, 2), (2, 2), Padding(2, 0, 0, 0)), "see no input"),
    (ops.Maxout(4), "6 channels can't be split into groups of 4 pieces"),
    (ops.ChannelShuffle(4), "6 channels can't be shuffled in 4 groups"),
    (ops.Linear(3), "a dense layer needs flat features"),
]


@pytest.mark.parametrize(("op", "message"), WRONG, ids=[m for _, m in WRONG])
def test_what_does_not_fit_can_not_be_added(op: ops.Op, message: str) -> None:
    """A ShapeError says which sizes met; the graph is as it was."""
    with pytest.raises(ShapeError, match=message):
        START.then("n", op)
    assert len(START) == 0


@pytest.mark.parametrize(
    "op",
    [
        ops.Conv2d(1, (1, 1)),
        ops.MaxPool2d((1, 1), (1, 1)),
        ops.AdaptiveAvgPool2d(),
        ops.ChannelShuffle(2),
        ops.LocalResponseNorm(3),
    ],
)
def test_maps_ops_refuse_flat_features(op: ops.Op) -> None:
    """After flattening, what needs maps says so."""
    with pytest.raises(ShapeError, match="its input is flat"):
        START.then("f", ops.Flatten()).then("n", op)


def test_parameters_are_named_in_layer_order() -> None:
    """weight, bias, running_mean, running_var, each under its node's name."""
    graph = START.then("c", ops.Conv2d(4, (3, 2), groups=2)).then("n", ops.BatchNorm(scale=False))
    graph = graph.then("a", ops.PReLU(per_channel=True)).then("f", ops.Flatten()).then("d", ops.Linear(2, bias=False))
    assert {k: p.shape for k, p in graph.parameters().items()} == {
        "c.weight": (4, 3, 3, 2),
        "c.bias": (4,),
        "n.bias": (4,),
        "n.running_mean": (4,),
        "n.running_var": (4,),
        "a.weight": (4,),
        "d.weight": (2, 4 * 6 * 7),
    }
    assert graph.parameters()["c.weight"].fan_in == 18
    assert not graph.parameters()["n.running_mean"].trainable


def test_macs_count_multiply_accumulates() -> None:
    """Convolutions and dense layers: outputs times the inputs each sums over; bias and the rest not counted."""
    x = TensorType((6, 8, 8))
    assert ops.Conv2d(4, (3, 3)).macs(x) == 4 * 6 * 6 * (6 * 9)
    assert ops.Conv2d(4, (3, 3), groups=2).macs(x) == 4 * 6 * 6 * (3 * 9)
    assert ops.Linear(5).macs(TensorType((7,))) == 35
    assert ops.BatchNorm().macs(x) == ops.MaxPool2d((2, 2), (2, 2)).macs(x) == 0


def test_names_are_unique() -> None:
    """Two nodes of one name would share parameters."""
    with pytest.raises(ValueError, match="two nodes named 'n'"):
        START.then("n", ops.ReLU()).then("n", ops.ReLU())


@pytest.mark.parametrize("kind", ops.all_ops(), ids=lambda k: k.__name__)
def test_every_op_is_a_frozen_dataclass_with_a_docstring(kind: type[ops.Op]) -> None:
    """Ops are values: they compare, hash and never change."""
    assert is_dataclass(kind)
    assert kind.__doc__
    assert kind.__hash__ is not None
    names = [f.name for f in fields(kind)]
    if names:
        op = next(op for op in EXAMPLES if type(op) is kind)
        with pytest.raises(FrozenInstanceError):
            setattr(op, names[0], None)


EXAMPLES: list[ops.Op] = [
    *(op for op, _ in SHAPES),
    ops.Linear(3),
    ops.LeakyReLU(),
    ops.ELU(),
    ops.GELU(),
    ops.Dropout(),
]


def test_all_ops_leaves_none_out() -> None:
    """The list that the completeness tests walk has every concrete op, and no base."""
    found = {c for c in vars(ops).values() if isinstance(c, type) and issubclass(c, ops.Op)}
    assert set(ops.all_ops()) == found - {ops.Op, ops.Activation, ops.Pointwise, ops.Pool2d, ops.GlobalPool2d}
    assert len(ops.all_ops()) >= 24


def test_every_pool_with_windows_is_matched() -> None:
    """What mypy holds `match` statements to is every such pool."""
    assert set(get_args(ops.WindowPool)) == {kind for kind in ops.all_ops() if issubclass(kind, ops.Pool2d)}


def test_the_reach_of_a_pool() -> None:
    """The padding that windows touch: grown for a partial window, cut where the last window ends early."""
    x = TensorType((1, 8, 8))
    assert ops.MaxPool2d((3, 3), (2, 2), ceil_mode=True).reach(x) == Padding(0, 1, 0, 1)
    assert ops.MaxPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1)).reach(x) == Padding(1, 0, 1, 0)
    assert ops.MaxPool2d((2, 2), (2, 2)).reach(x) == Padding()


def test_a_graph_reads_as_text() -> None:
    """One line a node, every attribute written out."""
    graph = START.then("a.b", ops.Conv2d(4, (3, 1), bias=False)).then("p", ops.AvgPool2d((2, 2), (2, 2)))
    assert str(graph) == (
        "g: float32[6, 8, 8]\n"
        "  a.b  Conv2d(out_channels=4, kernel_size=3x1, stride=1x1, padding=0, dilation=1x1, groups=1, bias=false)"
        " -> float32[4, 6, 8]\n"
        "  p    AvgPool2d(kernel_size=2x2, stride=2x2, padding=0, ceil_mode=false, count_include_pad=false)"
        " -> float32[4, 3, 4]\n"
    )
    assert str(Graph("g", TensorType((1, 2, 2)), open_size=True)) == "g: float32[1, 2, 2] (open size)\n"
