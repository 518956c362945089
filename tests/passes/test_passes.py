"""The exact passes: what they do, and that they keep the function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, ShapeError, TensorType
from nin_spec.passes import PassError, rebuild, run_passes
from nin_spec.passes.drop_identities import drop_identities
from nin_spec.passes.explicit_pools import explicit_pools
from nin_spec.passes.global_pools import global_pools


def chain(*steps: ops.Op, size: tuple[int, ...] = (4, 7, 8), open_size: bool = False) -> Graph:
    """A graph of these ops."""
    graph = Graph("chain", TensorType(size), open_size=open_size)
    for i, op in enumerate(steps):
        graph = graph.then(f"layers.{i}", op)
    return graph


def kinds(graph: Graph) -> list[str]:
    """The ops' names in order."""
    return [n.kind for n in graph]


def test_identities_are_dropped() -> None:
    """Dropout, one-cell pools, trivial shuffles and one-piece maxout leave; the others stay."""
    graph = chain(
        ops.Dropout(0.5),
        ops.Dropout2d(0.5),
        ops.MaxPool2d((1, 1), (1, 1)),
        ops.ChannelShuffle(1),
        ops.ChannelShuffle(4),
        ops.Maxout(1),
        ops.MaxPool2d((1, 1), (2, 2)),
        ops.ChannelShuffle(2),
    )
    assert kinds(drop_identities(graph)) == ["MaxPool2d", "ChannelShuffle"]


def test_a_ceil_mode_average_gets_end_padding() -> None:
    """A partial window becomes uncounted padding at the end."""
    (node,) = explicit_pools(chain(ops.AvgPool2d((3, 3), (2, 2), ceil_mode=True), size=(1, 6, 7)))
    assert node.op == ops.AvgPool2d((3, 3), (2, 2), Padding(0, 1, 0, 0))


def test_counted_padding_that_windows_hang_over_stays() -> None:
    """An average that counts some outside cells and not others is not rewritten."""
    pool = ops.AvgPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1), ceil_mode=True, count_include_pad=True)
    (kept,) = explicit_pools(chain(pool, size=(1, 6, 6)))
    assert kept.op == pool
    (written,) = explicit_pools(chain(pool, size=(1, 5, 5)))
    assert written.op == ops.AvgPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1), count_include_pad=True)


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_that_is_alike_on_both_sides_stays(size: int, *, count_include_pad: bool) -> None:
    """Though the last window of an even map leaves the padding behind it: other readers refuse uneven padding."""
    pool = ops.AvgPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1), count_include_pad=count_include_pad)
    (node,) = explicit_pools(chain(pool, size=(1, size, size)))
    assert node.op == pool


@many
@given(st.data())
def test_a_floor_pool_padded_alike_is_written_so(data: st.DataObject) -> None:
    """Whatever its windows reach of the padding; one that is rounded up or padded unevenly may need uneven padding."""
    op, size = data.draw(pools())
    p = op.padding
    op = replace(op, padding=Padding(p.top, p.top, p.left, p.left), ceil_mode=False)
    try:
        graph = chain(op, size=size)
    except ShapeError:
        return
    (node,) = explicit_pools(graph)
    assert isinstance(node.op, ops.Pool2d)
    assert node.op.padding == op.padding
    assert not node.op.ceil_mode


def test_a_window_over_the_whole_map_is_global() -> None:
    """Average and maximum both, for any stride; not when padded."""
    assert kinds(global_pools(chain(ops.AvgPool2d((7, 8), (5, 5))))) == ["AdaptiveAvgPool2d"]
    assert kinds(global_pools(chain(ops.MaxPool2d((7, 8), (1, 1))))) == ["AdaptiveMaxPool2d"]
    padded = ops.AvgPool2d((7, 8), (8, 8), Padding(1, 0, 0, 0), count_include_pad=True)
    assert kinds(global_pools(chain(padded))) == ["AvgPool2d"]


@pytest.mark.parametrize("rewrite", [explicit_pools, global_pools])
def test_open_sizes_are_left_alone(rewrite: object) -> None:
    """What depends on the size is not rewritten where the size is open."""
    graph = chain(ops.AvgPool2d((7, 8), (1, 1), ceil_mode=True), open_size=True)
    assert rewrite(graph) == graph  # type: ignore[operator]


def test_a_broken_pass_is_named() -> None:
    """A pass that changes the output's type is named, with those that ran before it."""

    def shrink(graph: Graph) -> Graph:
        return rebuild(graph, lambda _: ops.MaxPool2d((2, 2), (2, 2)))

    with pytest.raises(PassError, match=r"shrink turned .* after drop_identities"):
        run_passes(chain(ops.ReLU()), {"drop_identities": drop_identities, "shrink": shrink})


def pool(x: np.ndarray, op: ops.Pool2d) -> np.ndarray:
    """A pool by its definition, window by window."""
    c, h, w = x.shape
    (oh, ow), p = op.counts(TensorType((c, h, w))), op.padding
    (kh, kw), (sh, sw) = op.kernel_size, op.stride
    out = np.zeros((c, oh, ow))
    for i in range(oh):
        for j in range(ow):
            top, left = i * sh - p.top, j * sw - p.left
            bottom, right = min(top + kh, h + p.bottom), min(left + kw, w + p.right)
            window = x[:, max(top, 0) : min(bottom, h), max(left, 0) : min(right, w)]
            if isinstance(op, ops.AvgPool2d):
                cells = (bottom - top) * (right - left) if op.count_include_pad else window[0].size
                out[:, i, j] = window.sum((1, 2)) / cells
            elif isinstance(op, ops.MaxPool2d):
                out[:, i, j] = window.max((1, 2))
    return out


@st.composite
def pools(draw: st.DrawFn) -> tuple[ops.Pool2d, tuple[int, int, int]]:
    """A pool and a map that it fits."""
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, stride = draw(pair), draw(pair)
    padding = Padding(*(draw(st.integers(0, k - 1)) for k in (kernel[0], kernel[0], kernel[1], kernel[1])))
    size = draw(st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)))
    ceil = draw(st.booleans())
    if draw(st.booleans()):
        return ops.MaxPool2d(kernel, stride, padding, ceil), size
    return ops.AvgPool2d(kernel, stride, padding, ceil, draw(st.booleans())), size


@many
@given(pools())
def test_explicit_pools_compute_the_same(case: tuple[ops.Pool2d, tuple[int, int, int]]) -> None:
    """By the definition, before and after, for any pool and size."""
    op, size = case
    try:
        graph = chain(op, size=size)
    except ShapeError:
        return
    x = np.random.default_rng(0).standard_normal(size)
    for rewrite in (explicit_pools, global_pools):
        (node,) = rewrite(graph)
        assert node.output == graph.output
        if isinstance(node.op, ops.Pool2d):
            np.testing.assert_allclose(pool(x, node.op), pool(x, op), rtol=1e-12)
