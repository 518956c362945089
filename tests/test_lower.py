"""Lowering: node names that say where a node stands, the order of steps, and errors at the line that caused them."""

from __future__ import annotations

import pytest

from nin_spec.diagnostics import Code, SpecError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding
from nin_spec.language.load import loads
from nin_spec.lower import lower

START = "spec: 1\nname: a\ninput: {channels: 4, size: [16, 12]}\nclasses: 8\n"


def graph(text: str) -> Graph:
    """The graph of a spec, given from `blocks` on."""
    return lower(loads(START + text))


def nodes(text: str) -> list[str]:
    """Names and kinds, the head's pool and flatten left out."""
    return [f"{n.name} {n.kind}" for n in graph(text) if n.name not in {"head.pool", "head.flatten"}]


def test_names_say_where_a_node_stands() -> None:
    """blocks.<i>.<steps>.<j> around convolutions, blocks.<i>.<step> after them, head.<step>."""
    assert nodes("""
defaults: {norm: batch}
blocks:
  - convs:
      - {channels: 4, shuffle: 2, dropout: 0.1, order: [shuffle, norm, activation, dropout, conv]}
      - {channels: 8, norm: none}
    kernel: 3
    pool: {kind: max, kernel: 2}
    dropout: 0.5
  - {shuffle: 2, norm: lrn, activation: tanh, pool: global_max, dropout: {p: 0.2, by: channel}}
head:
  pool: none
  dropout: 0.3
  dense: [5, {units: classes, norm: batch, activation: silu, dropout: 0.1}]
  norm: batch
  activation: sigmoid
  output: log_softmax
""") == [
        "blocks.0.shuffles.0 ChannelShuffle",
        "blocks.0.norms.0 BatchNorm",
        "blocks.0.activations.0 ReLU",
        "blocks.0.dropouts.0 Dropout",
        "blocks.0.convs.0 Conv2d",
        "blocks.0.convs.1 Conv2d",
        "blocks.0.activations.1 ReLU",
        "blocks.0.pool MaxPool2d",
        "blocks.0.dropout Dropout",
        "blocks.1.shuffle ChannelShuffle",
        "blocks.1.norm LocalResponseNorm",
        "blocks.1.activation Tanh",
        "blocks.1.pool AdaptiveMaxPool2d",
        "blocks.1.dropout Dropout2d",
        "head.dropout Dropout",
        "head.dense.0 Linear",
        "head.activations.0 ReLU",
        "head.dense.1 Linear",
        "head.norms.1 BatchNorm",
        "head.activations.1 SiLU",
        "head.dropouts.1 Dropout",
        "head.norm BatchNorm",
        "head.activation Sigmoid",
        "head.output LogSoftmax",
    ]


ORDERS = [
    ("norm: batch", ["Conv2d", "BatchNorm", "ReLU"]),
    ("norm: batch, order: [conv, activation, norm]", ["Conv2d", "ReLU", "BatchNorm"]),
    ("norm: batch, order: [norm, activation, conv]", ["BatchNorm", "ReLU", "Conv2d"]),
    ("norm: batch, dropout: 0.5, order: [norm, dropout, conv, activation]", ["BatchNorm", "Dropout", "Conv2d", "ReLU"]),
    ("activation: none", ["Conv2d"]),
    ("shuffle: 2, order: [conv, activation, shuffle]", ["Conv2d", "ReLU", "ChannelShuffle"]),
]


@pytest.mark.parametrize(("keys", "kinds"), ORDERS, ids=[o[0] for o in ORDERS])
def test_steps_stand_in_their_order(keys: str, kinds: list[str]) -> None:
    """The orders of published networks."""
    built = graph(f"blocks: [{{convs: [{{channels: 8, kernel: 1, {keys}}}]}}]")
    assert [n.kind for n in built][: len(kinds)] == kinds
    assert len(built) == len(kinds) + 2


ACTIVATIONS = [
    ("relu", ops.ReLU()),
    ("leaky_relu", ops.LeakyReLU(0.01)),
    ("{kind: leaky_relu, slope: 0.2}", ops.LeakyReLU(0.2)),
    ("prelu", ops.PReLU(per_channel=False, init=0.25)),
    ("{kind: prelu, per_channel: true, init: 0.1}", ops.PReLU(per_channel=True, init=0.1)),
    ("elu", ops.ELU(1.0)),
    ("gelu", ops.GELU(approximate=False)),
    ("{kind: gelu, approximate: tanh}", ops.GELU(approximate=True)),
    ("silu", ops.SiLU()),
    ("mish", ops.Mish()),
    ("sigmoid", ops.Sigmoid()),
    ("tanh", ops.Tanh()),
]


@pytest.mark.parametrize(("spelling", "op"), ACTIVATIONS, ids=[a[0] for a in ACTIVATIONS])
def test_activations(spelling: str, op: ops.Op) -> None:
    """Each word is its op."""
    assert graph(f"blocks: [{{channels: [8], kernel: 1, activation: {spelling}}}]").nodes[1].op == op


NORMS = [
    ("batch", ops.BatchNorm(1e-5, 0.1, scale=True, shift=True)),
    ("{kind: batch, eps: 0.001, momentum: 0.01, affine: false}", ops.BatchNorm(1e-3, 0.01, scale=False, shift=False)),
    ("{kind: batch, affine: shift}", ops.BatchNorm(1e-5, 0.1, scale=False, shift=True)),
    ("{kind: lrn, size: 3, alpha: 0.1, beta: 0.5, k: 2}", ops.LocalResponseNorm(3, 0.1, 0.5, 2)),
]


@pytest.mark.parametrize(("spelling", "op"), NORMS, ids=[n[0] for n in NORMS])
def test_norms(spelling: str, op: ops.Op) -> None:
    """Each norm with its numbers."""
    assert graph(f"blocks: [{{channels: [8], kernel: 1, norm: {spelling}}}]").nodes[1].op == op


SAME = [
    ("kernel: 5", Padding(2, 2, 2, 2)),
    ("kernel: 4", Padding(1, 2, 1, 2)),
    ("kernel: [1, 4]", Padding(0, 0, 1, 2)),
    ("kernel: 3, stride: 2", Padding(0, 1, 0, 1)),
    ("kernel: 3, stride: 5", Padding(1, 1, 0, 1)),
    ("kernel: 3, dilation: 3", Padding(3, 3, 3, 3)),
    ("kernel: 1, stride: 3", Padding()),
]


@pytest.mark.parametrize(("keys", "padding"), SAME, ids=[s[0] for s in SAME])
def test_same_padding_is_tensorflow_s(keys: str, padding: Padding) -> None:
    """ceil(size / stride) windows, the odd cell at the bottom and right; 16 x 12 cells here."""
    op = graph(f"blocks: [{{channels: [8], {keys}, padding: same}}]").nodes[0].op
    assert isinstance(op, ops.Conv2d)
    assert op.padding == padding


def test_dtype_and_open_size_reach_the_graph() -> None:
    """float64 everywhere, and heights and widths that may vary."""
    built = lower(
        loads(START.replace("12]", "12], open: true") + "dtype: float64\nblocks: [{channels: [8], kernel: 3}]")
    )
    assert built.open_size
    assert {n.output.dtype for n in built} == {"float64"}


OPEN = [
    ("blocks: [{channels: [8], kernel: 3, padding: same}]", True),
    ("blocks: [{channels: [8], kernel: 3, pool: global_avg}]\nhead: {pool: none}", True),
    ("blocks: [{channels: [8], kernel: 3}]\nhead: {pool: {kind: avg, kernel: [14, 10]}}", False),
    ("blocks: [{channels: [8], kernel: 3}]\nhead: {pool: none, dense: [classes]}", False),
    ("blocks: [{channels: [8], kernel: 3, stride: 2, padding: same}]", False),
    ("blocks: [{channels: [8], kernel: 3, pool: {kind: max, kernel: 2, padding: same}}]", False),
]


@pytest.mark.parametrize(("text", "allowed"), OPEN, ids=[o[0] for o in OPEN])
def test_open_sizes(text: str, allowed: bool) -> None:  # noqa: FBT001 a column of the table
    """A size is open only where no parameter and no padding depends on it."""
    start = START.replace("12]", "12], open: true")
    if allowed:
        assert lower(loads(start + text)).open_size
        return
    with pytest.raises(SpecError) as caught:
        lower(loads(start + text))
    assert [d.code for d in caught.value.diagnostics] == [Code.OPEN_SIZE]


def test_every_node_knows_its_line() -> None:
    """A node's span is where the value that asked for it stands, or the nearest place around it."""
    built = graph("""
defaults:
  norm: batch
blocks:
  - convs:
      - {channels: 8, kernel: 3}
    pool: {kind: max, kernel: 2}
""")
    lines = {n.name: n.span.line for n in built if n.span}
    assert lines["blocks.0.convs.0"] == 10
    assert lines["blocks.0.norms.0"] == 7
    assert lines["blocks.0.pool"] == 11
    assert len(lines) == len(built)
