"""One graph for all spellings of one inference function, and its hash.

Where the size is fixed, a convolution or a pool is what its windows see: the cells, and for an average the
divisor. So padding, rounding, unused strides and the dilation of a single tap count only if they change something.
Beyond the exact passes (identities dropped, pools explicit or global):

1. A leaky ReLU of slope 0 is a ReLU; a ReLU after a ReLU is dropped.
2. What matters only in training gets a fixed value: the momentum of batch norm, the initial slope of PReLU.
3. A flatten of flat features, or a pool whose windows are the cells themselves, is dropped.
4. One slope per channel is one slope if there is one channel. A number has one spelling, 1 being 1.0.
5. For any size: an average without padding counts none, one over single cells is a maximum, windows that
   move by one cell need no rounding, and a single tap no dilation.

Parameters are left open: two specs have one hash when, given the same tensors in the same order, they
compute the same scores from the same input. Names, labels, dropout and recipes do not count.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from functools import lru_cache
from typing import NamedTuple

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.text import print_op
from nin_spec.ir.types import Padding, Pair, TensorType
from nin_spec.passes import rebuild, run_passes
from nin_spec.passes.drop_identities import drop_identities
from nin_spec.passes.explicit_pools import explicit_pools
from nin_spec.passes.global_pools import global_pools

VERSION = "nin1"


def semantic_hash(graph: Graph) -> str:
    """`nin1:` and 32 hexadecimal digits: equal for two spellings of one function."""
    form = normal_form(graph)
    head = f"{form.input}{' open' if form.open_size else ''}"
    text = "\n".join([head, *(print_op(n.op) if form.open_size else _describe(n) for n in form)])
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def normal_form(graph: Graph) -> Graph:
    """The graph with every rule applied; only the strides and paddings of its windows are as written."""
    rules = (plain_ops, explicit_pools, global_pools, drop_identities, drop_repeats)
    return run_passes(graph, {rule.__name__: rule for rule in rules})[-1].after


# ------------------------------------------------------------------ windows


class Axis(NamedTuple):
    """What windows see along one axis, as a digest: large maps have many windows, and layers repeat.

    `cells` is a digest of the cells that each window sees, `shares` of cells and divisors. `single` says that
    each sees one cell and divides by one, `all_in_order` that these are the cells themselves.
    """

    cells: str
    shares: str
    single: bool
    all_in_order: bool


def _describe(node: Node) -> str:
    """What a node computes, as text: `print_op`, except that convolutions and pools list what their windows see."""
    op = node.op
    if isinstance(op, ops.Conv2d):
        plain = replace(op, stride=(1, 1), padding=Padding(), dilation=(1, 1))
        return f"{print_op(plain)} {' '.join(_taps(op, node))}"
    if isinstance(op, ops.Pool2d | ops.GlobalPool2d):
        return " ".join(_seen(op, node.input))
    return print_op(op)


def _taps(op: ops.Conv2d, node: Node) -> list[str]:
    """The taps of the windows that lie on cells, along both axes."""
    starts = (op.padding.top, op.padding.left)
    axes = zip(node.input.shape[1:], node.output.shape[1:], op.kernel_size, op.stride, op.dilation, starts, strict=True)
    return [_axis_of_taps(*axis) for axis in axes]


@lru_cache(maxsize=4096)
def _axis_of_taps(  # noqa: PLR0913, PLR0917 what windows along an axis are made of
    size: int, count: int, taps: int, stride: int, step: int, before: int
) -> str:
    return _digest([_inside(i * stride - before, size, taps, step) for i in range(count)])


def _inside(start: int, size: int, taps: int, step: int) -> tuple[int, ...]:
    """The first tap inside, the number of taps, the cell of the first, and the cells between taps."""
    first = max(0, -(start // step))
    count = min(taps, -((start - size) // step)) - first
    if count < 1:
        return ()
    return first, count, start + first * step, step if count > 1 else 1


def _seen(op: ops.Pool2d | ops.GlobalPool2d, x: TensorType) -> tuple[str, str, str]:
    """The pool's word, and both axes. What keeps single cells is a maximum over them."""
    pool, (down, across) = _windowed(op, x), _axes(op, x)
    if pool.keeps and down.single and across.single:
        return ops.MaxPool2d.word, down.cells, across.cells
    return (pool.word, down.shares, across.shares) if pool.divides else (pool.word, down.cells, across.cells)


def _windowed(op: ops.Pool2d | ops.GlobalPool2d, x: TensorType) -> ops.Pool2d:
    return op.windowed(x) if isinstance(op, ops.GlobalPool2d) else op


def _axes(op: ops.Pool2d | ops.GlobalPool2d, x: TensorType) -> tuple[Axis, Axis]:
    (_, h, w), pool = x.maps(), _windowed(op, x)
    (kh, kw), (sh, sw), p, (rows, columns) = pool.kernel_size, pool.stride, pool.padding, pool.counts(x)
    counted = p if pool.counts_padding else Padding()
    return (
        _axis_of_windows(h, rows, kh, sh, p.top, (counted.top, counted.bottom)),
        _axis_of_windows(w, columns, kw, sw, p.left, (counted.left, counted.right)),
    )


@lru_cache(maxsize=4096)
def _axis_of_windows(  # noqa: PLR0913, PLR0917 what windows along an axis are made of
    size: int, count: int, kernel: int, stride: int, padding: int, counted: Pair
) -> Axis:
    """Windows clipped to the cells; their share of the divisor is clipped to the counted padding."""
    starts = [i * stride - padding for i in range(count)]
    cells = [(max(start, 0), min(start + kernel, size)) for start in starts]
    shares = [min(start + kernel, size + counted[1]) - max(start, -counted[0]) for start in starts]
    single = all(end == start + 1 for start, end in cells) and set(shares) == {1}
    in_order = single and [start for start, _ in cells] == list(range(size))
    return Axis(_digest(cells), _digest([cells, shares]), single, in_order)


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


# ------------------------------------------------------------------ rules


def plain_ops(graph: Graph) -> Graph:
    """Rules 2, 4, 5 and the first half of 1."""
    return rebuild(graph, lambda node: _plain(node.op, node.input.shape[0]))


def _plain(op: ops.Op, channels: int) -> ops.Op:
    # A field declared as a float may hold an int, which prints differently; and -0.0 is 0.0.
    op = replace(op, **{f.name: float(getattr(op, f.name)) + 0.0 for f in fields(op) if f.type == "float"})
    match op:
        case ops.LeakyReLU(slope=0):
            return ops.ReLU()
        case ops.BatchNorm():
            return replace(op, momentum=0.0)
        case ops.PReLU():
            return replace(op, init=0.0, per_channel=op.per_channel and channels > 1)
        case ops.Conv2d(kernel_size=(kh, kw), dilation=(dh, dw)):
            return replace(op, dilation=(dh if kh > 1 else 1, dw if kw > 1 else 1))
        case ops.Pool2d():
            return _plain_pool(op)
        case _:
            return op


def _plain_pool(op: ops.Pool2d) -> ops.Pool2d:
    op = replace(op, ceil_mode=op.ceil_mode and op.stride != (1, 1))
    if op.keeps and op.kernel_size == (1, 1):
        return ops.MaxPool2d(op.kernel_size, op.stride, op.padding, op.ceil_mode)
    return op if op.counts_padding else op.uncounted()


def drop_repeats(graph: Graph) -> Graph:
    """Rule 3, and the second half of 1."""
    kept: list[tuple[Node, ops.Op]] = []
    for node in graph:
        again = isinstance(node.op, ops.ReLU) and kept and isinstance(kept[-1][1], ops.ReLU)
        if not again and not _keeps(node, open_size=graph.open_size):
            kept.append((node, node.op))
    return graph.rebuilt(kept)


def _keeps(node: Node, *, open_size: bool) -> bool:
    """True if the node returns its input unchanged. For an open size, the windows are known at one size only."""
    if isinstance(node.op, ops.Flatten):
        return not node.input.is_map
    if open_size or not isinstance(node.op, ops.Pool2d | ops.GlobalPool2d):
        return False
    keeps = _windowed(node.op, node.input).keeps
    return keeps and all(axis.all_in_order for axis in _axes(node.op, node.input))
