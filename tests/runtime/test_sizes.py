"""The sizes that an open network is tried at: they show what any other size would, and stay few and small."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

import nin_spec
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, ShapeError, TensorType
from nin_spec.runtime.sizes import TRIED, other_sizes, sizes_to_try

OPEN = """\
spec: 1
name: open
input: {channels: 1, size: 14, open: true}
classes: 2
blocks:
  - {channels: [2, 3], kernel: 5, stride: 2, padding: 1, pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}}
  - {channels: [2, classes], kernel: 3}
"""


def single(op: ops.Pool2d, nominal: int = 30) -> Graph:
    """An open network of one pool."""
    return Graph("pool", TensorType((1, nominal, nominal)), open_size=True).then("pool", op)


def seen(op: ops.AvgPool2d, size: int) -> list[tuple[int, int, int]] | None:
    """What each window along the rows of a square map sees and divides by; None where none fits."""
    try:
        op.infer(TensorType((1, size, size)))
    except ShapeError:
        return None
    starts = [k * op.stride[0] - op.padding.top for k in range(op.counts(TensorType((1, size, size)))[0])]
    k, (top, bottom, *_) = op.kernel_size[0], op.padding
    cells = [(max(start, 0), min(start + k, size)) for start in starts]
    ends = [(max(start, -top), min(start + k, size + bottom)) for start in starts]
    return [(a, b, (d - c) if op.count_include_pad else (b - a)) for (a, b), (c, d) in zip(cells, ends, strict=True)]


@st.composite
def averages(draw: st.DrawFn) -> ops.AvgPool2d:
    """A pool with one window and padding along both axes."""
    kernel, stride = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    before, after = (draw(st.integers(0, kernel - 1)) for _ in range(2))
    padding = Padding(before, after, before, after)
    return ops.AvgPool2d((kernel, kernel), (stride, stride), padding, draw(st.booleans()), draw(st.booleans()))


def faults(op: ops.AvgPool2d) -> list[ops.AvgPool2d]:
    """The pool with one thing about it wrong."""
    p, k = op.padding, op.kernel_size[0]
    found = [replace(op, ceil_mode=not op.ceil_mode), replace(op, count_include_pad=not op.count_include_pad)]
    for more in (-2, -1, 1, 2):
        if 0 <= p.bottom + more < k:
            found.append(replace(op, padding=Padding(p.top, p.bottom + more, p.left, p.right + more)))
            found.append(replace(found[-1], ceil_mode=not op.ceil_mode))
    return found


@many
@given(averages())
def test_a_fault_that_some_size_shows_is_shown_by_a_size_that_is_tried(op: ops.AvgPool2d) -> None:
    """Another rounding, another divisor, padding that is too short or too long: none hides from every size tried."""
    tried = [height for height, _ in sizes_to_try(single(op))]
    for wrong in faults(op):
        shown = [size for size in range(1, 60) if seen(op, size) is not None and seen(op, size) != seen(wrong, size)]
        if shown:
            assert any(seen(op, size) != seen(wrong, size) for size in tried), (wrong, shown, tried)


@given(averages(), st.integers(30, 5000))
def test_the_sizes_are_legal_few_and_small(op: ops.AvgPool2d, nominal: int) -> None:
    """The nominal size, the smallest legal one, odd and even ones; none is large because the nominal one is."""
    first, *rest = sizes_to_try(single(op, nominal))
    assert first == (nominal, nominal)
    assert 1 <= len(rest) <= TRIED
    assert all(seen(op, size) is not None for pair in rest for size in pair)
    smallest = next(size for size in range(1, 99) if seen(op, size) is not None)
    assert rest[0] == (smallest, smallest)
    assert {height % 2 for height, _ in rest} == {width % 2 for _, width in rest} == {0, 1}
    assert max(max(pair) for pair in rest) < smallest + 64


def test_a_chain_is_tried_at_sizes_that_leave_partial_windows() -> None:
    """Of each window, after any layers before it."""
    graph = nin_spec.compile(nin_spec.loads(OPEN)).graph
    sizes = sizes_to_try(graph)
    assert sizes[0] == (14, 14)
    ends = set()
    for height, _ in sizes:
        x = TensorType((1, height, height))
        for node in graph:
            if isinstance(node.op, ops.AvgPool2d):
                ends.add((node.op.counts(x)[0] - 1) * 2 + 3 - x.shape[1])
            x = node.op.infer(x)
    assert {0, 1} <= ends


@pytest.mark.parametrize("name", ["nin_cifar", "nin_imagenet", "seed_mlpconv_six_blocks"])
def test_height_and_width_differ_at_most_sizes(name: str) -> None:
    """So that a file that takes one for the other is found out."""
    graph = nin_spec.compile(name, ["input.open=true"]).graph
    sizes = sizes_to_try(graph)
    assert sum(height != width for height, width in sizes) >= len(sizes) - 2


def test_a_file_of_another_tool_is_tried_at_a_larger_size_too() -> None:
    """The smallest, odd and even ones, and one beyond the nominal: those alone that the network takes."""
    graph = Graph("net", TensorType((3, 16, 16)), open_size=True)
    graph = graph.then("conv", ops.Conv2d(4, (5, 5), (3, 3))).then("pool", ops.MaxPool2d((2, 2), (2, 2)))
    whole = graph.then("gap", ops.AdaptiveAvgPool2d()).then("flat", ops.Flatten())
    sizes = other_sizes(whole)
    assert sizes == [*sizes_to_try(whole)[1:], (19, 21)]
    assert sizes[0] == (8, 8)
    assert {height % 2 for height, _ in sizes} == {width % 2 for _, width in sizes} == {0, 1}


def test_other_weights_are_another_network() -> None:
    """A dense layer over the cells of the nominal size allows no other."""
    dense = Graph("net", TensorType((3, 16, 16)), open_size=True).then("flat", ops.Flatten())
    dense = dense.then("dense", ops.Linear(2))
    assert sizes_to_try(dense) == [(16, 16)]
    assert other_sizes(dense) == []
