"""The semantic hash against random networks: respelling keeps it, and one hash means one function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle_graphs import hash_input, hash_weights

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Padding, ShapeError, TensorType
from nin_spec.model import Model, ModelCard
from nin_spec.passes.explicit_pools import explicit
from nin_spec.passes.normal_form import semantic_hash
from nin_spec.torch_module import build_module

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def chain(start: TensorType, steps: Iterable[ops.Op], *, open_size: bool = False) -> Graph:
    """A graph of these ops, as many as fit."""
    graph = Graph("chain", start, open_size=open_size)
    for i, op in enumerate(steps):
        try:
            graph = graph.then(f"layers.{i}", op)
        except ShapeError:
            continue
    return graph


def scores(graph: Graph) -> np.ndarray:
    """What the nn.Module gives with the golden rule's weights, in float64."""
    model = Model(graph, hash_weights(graph), ModelCard("chain", "", "", "", 1))
    with torch.inference_mode():
        result: np.ndarray = build_module(model)(torch.from_numpy(hash_input(graph.input.shape))).numpy()
    return result


def _padding(draw: st.DrawFn, kernel: tuple[int, int]) -> Padding:
    (h, w) = kernel
    return Padding(*(draw(st.integers(0, n - 1)) for n in (h, h, w, w)))


@st.composite
def windows(draw: st.DrawFn) -> ops.Op:
    """A convolution or a pool, of any padding, stride and rounding."""
    kernel, stride = draw(PAIR), draw(PAIR)
    padding = _padding(draw, kernel)
    kind = draw(st.sampled_from(["conv", "max", "avg"]))
    if kind == "conv":
        return ops.Conv2d(4, kernel, stride, padding, draw(PAIR), draw(st.sampled_from([1, 2])))
    if kind == "max":
        return ops.MaxPool2d(kernel, stride, padding, draw(st.booleans()))
    return ops.AvgPool2d(kernel, stride, padding, draw(st.booleans()), draw(st.booleans()))


PLAIN = st.sampled_from(
    [
        ops.ReLU(),
        ops.LeakyReLU(0.0),
        ops.LeakyReLU(0.2),
        ops.PReLU(),
        ops.BatchNorm(),
        ops.AdaptiveAvgPool2d(),
        ops.GELU(),
        ops.GELU(approximate=True),
        ops.ELU(),
        ops.Maxout(2),
        ops.ChannelShuffle(2),
    ]
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A small network over a small map."""
    size = draw(st.tuples(st.just(4), st.integers(1, 8), st.integers(1, 8)))
    return chain(TensorType(size, "float64"), draw(st.lists(st.one_of(windows(), PLAIN), max_size=5)))


def respell(draw: st.DrawFn, node: Node) -> Iterator[ops.Op]:
    """Other ops that compute what the node does."""
    if draw(st.booleans()):
        yield from draw(st.sampled_from(nothing(node.input)))
    op, choose = node.op, draw(st.booleans())
    match op:
        case ops.ReLU() if choose:
            yield from (ops.ReLU(), ops.LeakyReLU(0))
        case ops.PReLU():
            yield replace(op, init=0.5)
        case ops.BatchNorm():
            yield replace(op, momentum=0.5)
        case ops.AdaptiveAvgPool2d():
            yield ops.AvgPool2d(
                node.input.maps()[1:], draw(PAIR), ceil_mode=choose, count_include_pad=draw(st.booleans())
            )
        case ops.Conv2d() | ops.Pool2d():
            yield rewound(draw, node)
        case _:
            yield op


def nothing(x: TensorType) -> list[list[ops.Op]]:
    """Ops that do nothing to maps of this type."""
    return [
        [ops.Dropout(0.3)],
        [ops.Dropout2d(0.3), ops.MaxPool2d((1, 1), (1, 1))],
        [ops.ChannelShuffle(x.shape[0])],
        [ops.Maxout(1), ops.ChannelShuffle(1)],
        [ops.AvgPool2d((1, 1), (1, 1), count_include_pad=True)],
    ]


def rewound(draw: st.DrawFn, node: Node) -> ops.Op:
    """Windows written in another way: the first of some that give the same shape, and see the same cells."""
    op = node.op
    assert isinstance(op, ops.Conv2d | ops.Pool2d)
    rows, columns = node.output.shape[1:]
    stride = (op.stride[0] if rows > 1 else 9, op.stride[1] if columns > 1 else 9)
    p = op.padding
    tries: list[ops.Op] = []
    if isinstance(op, ops.Conv2d):
        (kh, kw), (dh, dw) = op.kernel_size, op.dilation
        dilation = (5 if kh == 1 else dh, 5 if kw == 1 else dw)
        tries = [
            replace(op, dilation=dilation),
            replace(op, stride=stride),
            replace(op, padding=p._replace(bottom=p.bottom + 1)),
            replace(op, padding=p._replace(right=p.right + 1)),
        ]
    else:
        tries = [explicit(node), replace(op, stride=stride)]
    other = draw(st.sampled_from(tries))
    try:
        return other if other.infer(node.input) == node.output else op
    except ShapeError:
        return op


@st.composite
def spellings(draw: st.DrawFn) -> tuple[Graph, Graph]:
    """A network, and the same written differently."""
    graph = draw(graphs())
    other = [op for node in graph for op in respell(draw, node)]
    return graph, chain(graph.input, other)


@given(spellings())
def test_a_respelling_keeps_the_hash_and_the_function(pair: tuple[Graph, Graph]) -> None:
    """However a network is written, its hash is one, and so are its scores for the same tensors in order."""
    one, other = pair
    assert semantic_hash(one) == semantic_hash(other)
    np.testing.assert_allclose(scores(other), scores(one), rtol=1e-9, atol=1e-12)


@given(graphs(), st.data())
def test_one_hash_means_one_function(graph: Graph, data: st.DataObject) -> None:
    """An edit either changes the hash or keeps the scores."""
    steps = [node.op for node in graph]
    at = data.draw(st.integers(0, len(steps)))
    edited = chain(graph.input, [*steps[:at], data.draw(st.one_of(windows(), PLAIN)), *steps[at + 1 :]])
    if semantic_hash(edited) == semantic_hash(graph):
        np.testing.assert_allclose(scores(edited), scores(graph), rtol=1e-9, atol=1e-12)


POOLS = [
    op
    for kernel in range(1, 5)
    for stride in range(1, 4)
    for before in range(kernel)
    for after in range(kernel)
    for ceil in (False, True)
    for op in (
        ops.MaxPool2d((kernel, 1), (stride, 1), Padding(before, after, 0, 0), ceil),
        ops.AvgPool2d((kernel, 1), (stride, 1), Padding(before, after, 0, 0), ceil),
        ops.AvgPool2d((kernel, 1), (stride, 1), Padding(before, after, 0, 0), ceil, count_include_pad=True),
    )
]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pools_share_a_hash_exactly_when_they_compute_the_same(size: int) -> None:
    """Over all small pools along one axis, by what the nn.Module gives for random maps."""
    hashes: dict[tuple[float, ...], set[str]] = {}
    functions: dict[str, set[tuple[float, ...]]] = {}
    for op in POOLS:
        graph = chain(TensorType((8, size, 1), "float64"), [op])
        if len(graph):
            values, key = tuple(np.round(scores(graph), 9).ravel()), semantic_hash(graph)
            hashes.setdefault(values, set()).add(key)
            functions.setdefault(key, set()).add(values)
    assert all(len(found) == 1 for found in functions.values())
    assert all(len(found) == 1 for found in hashes.values())


def test_a_global_pool_of_an_open_size_stays() -> None:
    """Single cells of the nominal size are maps at another: average and maximum then differ, and both from none."""
    start = TensorType((4, 2, 2))
    shrink = ops.Conv2d(4, (2, 2), (2, 2))
    heads: list[list[ops.Op]] = [[], [ops.AdaptiveAvgPool2d()], [ops.AdaptiveMaxPool2d()]]
    fixed = {semantic_hash(chain(start, [shrink, *head])) for head in heads}
    opened = {semantic_hash(chain(start, [shrink, *head], open_size=True)) for head in heads}
    assert (len(fixed), len(opened)) == (1, 3)


def test_what_holds_for_any_size_is_settled_for_an_open_one() -> None:
    """Rounding of windows that move by one, padding that is not there, the dilation of one tap."""
    start = TensorType((4, 6, 6))
    pairs: list[tuple[ops.Op, ops.Op]] = [
        (ops.MaxPool2d((3, 3), (1, 1), ceil_mode=True), ops.MaxPool2d((3, 3), (1, 1))),
        (ops.AvgPool2d((3, 3), (2, 2), count_include_pad=True), ops.AvgPool2d((3, 3), (2, 2))),
        (ops.AvgPool2d((1, 1), (2, 2)), ops.MaxPool2d((1, 1), (2, 2))),
        (ops.Conv2d(4, (1, 1), dilation=(2, 2)), ops.Conv2d(4, (1, 1))),
    ]
    for one, other in pairs:
        assert semantic_hash(chain(start, [one], open_size=True)) == semantic_hash(
            chain(start, [other], open_size=True)
        )
    rounded = chain(start, [ops.MaxPool2d((2, 2), (2, 2), ceil_mode=True)], open_size=True)
    assert semantic_hash(rounded) != semantic_hash(chain(start, [ops.MaxPool2d((2, 2), (2, 2))], open_size=True))


def test_a_number_has_one_spelling() -> None:
    """An integer where a float is declared, and minus zero, change nothing."""
    start = TensorType((4, 3, 3))
    assert semantic_hash(chain(start, [ops.ELU(1)])) == semantic_hash(chain(start, [ops.ELU(1.0)]))
    assert semantic_hash(chain(start, [ops.LeakyReLU(-0.0)])) == semantic_hash(chain(start, [ops.ReLU()]))


def test_a_huge_window_is_hashed_at_once() -> None:
    """The hash of a convolution takes room for its windows, not for its taps."""
    graph = chain(TensorType((1, 40_000, 1)), [ops.Conv2d(1, (20_000, 1))])
    assert semantic_hash(graph).startswith("nin1:")


def test_a_dilation_whose_taps_all_fall_outside_counts_for_nothing() -> None:
    """Over a single cell only the middle tap of a padded kernel sees anything."""
    start = TensorType((4, 1, 1), "float64")
    near = chain(start, [ops.Conv2d(4, (3, 3), padding=Padding(1, 1, 1, 1))])
    far = chain(start, [ops.Conv2d(4, (3, 3), padding=Padding(2, 2, 2, 2), dilation=(2, 2))])
    assert semantic_hash(near) == semantic_hash(far)
    np.testing.assert_allclose(scores(far), scores(near))
