"""The shape table: receptive fields, counts and memory, held to other ways of counting."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from spec_strategies import Data, specs, to_text

from nin_spec.analysis.shapes import analyse
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import TensorType
from nin_spec.language.load import load, loads
from nin_spec.lower import lower
from nin_spec.named import shipped_names


def interval(graph: Graph, upto: int, axis: int, cell: int) -> tuple[int, int]:
    """First and last input cell under one output cell of node `upto`, walked back window by window."""
    low = high = cell
    for node in reversed(graph.nodes[: upto + 1]):
        extent, stride = node.op.window(node.input)
        low, high = low * stride[axis], high * stride[axis] + extent[axis] - 1
    return low, high


@given(specs())
def test_receptive_field_and_jump(data: Data) -> None:
    """The field is the span of input cells under one output cell; the jump, how far the next cell's span moves."""
    graph = lower(loads(to_text(data)))
    for k, row in enumerate(analyse(graph).rows):
        for axis in (0, 1):
            low, high = interval(graph, k, axis, 0)
            assert row.receptive_field[axis] == high - low + 1
            assert row.jump[axis] == interval(graph, k, axis, 1)[0] - low


@given(specs())
def test_totals_are_those_of_the_graph(data: Data) -> None:
    """Parameters, buffers and peak memory, counted tensor by tensor; the same by layer and by stage."""
    graph = lower(loads(to_text(data)))
    table = analyse(graph)
    tensors = list(graph.parameters().values())
    assert table.parameters == sum(p.size for p in tensors if p.trainable)
    assert table.buffers == sum(p.size for p in tensors if not p.trainable)
    assert table.peak_memory == max(n.input.bytes + n.output.bytes for n in graph)
    stages = table.stages()
    for total in ("parameters", "buffers", "macs", "weight_bytes", "peak_memory"):
        assert getattr(stages, total) == getattr(table, total)
    assert sum(r.memory for r in stages.rows) == sum(r.memory for r in table.rows)


def test_published_receptive_fields() -> None:
    """nin_cifar: 5, 7, 15, 19, 27, 55, and a jump of 4."""
    rows = analyse(lower(load("nin_cifar"))).rows
    fields = list(dict.fromkeys(r.receptive_field[0] for r in rows))
    assert fields == [5, 7, 15, 19, 27, 55]
    assert rows[-1].jump == (4, 4)


def test_stages_fold_a_block_and_nothing_else() -> None:
    """Steps around a block's convolutions are one row; its pool and dropout, bare blocks and the head stand alone."""
    table = analyse(
        lower(
            loads(
                "spec: 1\nname: a\ninput: {channels: 4, size: 16}\nclasses: 8\nblocks:\n"
                "  - {channels: [6, 4], kernel: 3, norm: batch, pool: {kind: max, kernel: 2}, dropout: 0.5}\n"
                "  - {norm: batch, activation: relu}\n"
                "  - {channels: [classes], kernel: 1}\n"
                "  - {channels: [classes], kernel: 1}\n"
            )
        )
    )
    rows = [(r.name, r.op, r.detail) for r in table.stages().rows]
    assert rows[:6] == [
        ("blocks.0", "block", "6-4"),
        ("blocks.0.pool", "MaxPool2d", "2x2 /2"),
        ("blocks.0.dropout", "Dropout", "p 0.5"),
        ("blocks.1.norm", "BatchNorm", "eps 1e-05"),
        ("blocks.1.activation", "ReLU", ""),
        ("blocks.2", "block", "8"),
    ]
    assert rows[6][0] == "blocks.3"


@pytest.mark.parametrize("name", shipped_names())
def test_a_table_is_plain_data(name: str) -> None:
    """`as_dict` is JSON, and states the convention that MACs are counted by."""
    table = analyse(lower(load(name)), "h")
    data = table.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["totals"]["macs"] == sum(layer["macs"] for layer in data["layers"])
    assert "bias not counted" in data["macs_convention"]


DETAILS: list[tuple[ops.Op, str]] = [
    (ops.Conv2d(4, (3, 5), (2, 1), dilation=(1, 1), groups=2, bias=False), "3x5 /2x1 groups 2 no bias"),
    (ops.Conv2d(4, (1, 1), dilation=(2, 1)), "1x1 dilation 2x1"),
    (ops.MaxPool2d((3, 3), (2, 2), ceil_mode=True), "3x3 /2 ceil"),
    (ops.AvgPool2d((2, 2), (1, 1), count_include_pad=True), "2x2 counts padding"),
    (ops.AdaptiveMaxPool2d(), "8x8"),
    (ops.BatchNorm(eps=1e-3, scale=False), "eps 0.001 shift only"),
    (ops.BatchNorm(scale=False, shift=False), "eps 1e-05 not affine"),
    (ops.BatchNorm(shift=False), "eps 1e-05 scale only"),
    (ops.LocalResponseNorm(5), "size 5 alpha 0.0001 beta 0.75 k 1"),
    (ops.LeakyReLU(0.2), "slope 0.2"),
    (ops.PReLU(), "one slope"),
    (ops.PReLU(per_channel=True), "one slope per channel"),
    (ops.ELU(), "alpha 1"),
    (ops.GELU(approximate=True), "tanh"),
    (ops.Maxout(2), "2 pieces"),
    (ops.ChannelShuffle(2), "groups 2"),
    (ops.Dropout(0.25), "p 0.25"),
    (ops.ReLU(), ""),
]


@pytest.mark.parametrize(("op", "detail"), DETAILS, ids=[d for _, d in DETAILS])
def test_details_in_a_few_words(op: ops.Op, detail: str) -> None:
    """What makes the layer this layer."""
    graph = Graph("g", TensorType((4, 8, 8))).then("n", op)
    assert analyse(graph).rows[0].detail == detail


def test_memory_counts_the_dtype() -> None:
    """float64 takes eight bytes a number."""
    narrow = analyse(lower(load("seed_cifar10_at_224")))
    wide = analyse(lower(load("seed_cifar10_at_224", ["dtype=float64"])))
    assert wide.peak_memory == 2 * narrow.peak_memory
    assert wide.weight_bytes == 2 * narrow.weight_bytes == 8 * wide.parameters
