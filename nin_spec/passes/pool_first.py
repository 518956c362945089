"""Pool before 1x1 convolutions instead of after them, so that they process fewer cells.

1. A global average after 1x1 convolutions with stride 1 and no padding.
2. Any other average whose windows' weights sum to one: it does not count padding.

Between them, ops that are affine per channel or move channels are allowed: batch norm, shuffles, dropout. A pool that
does not reduce the number of cells stays, and so does one that is to be kept.
"""

from __future__ import annotations

from dataclasses import replace

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.types import Padding

_PASSED_OVER = (ops.BatchNorm, ops.ChannelShuffle, ops.Dropout, ops.Dropout2d, Affine, ChannelOrder)


def pool_first(graph: Graph, kept: str | None = None) -> Graph:
    """The graph with every such pool moved, except for that of the name `kept`."""
    means = (node.name for node in graph if is_mean(node, open_size=graph.open_size))
    for name in [name for name in means if name != kept]:
        moved = _moved(graph, name)
        if sum(n.op.macs(n.input) for n in moved) < sum(n.op.macs(n.input) for n in graph):
            graph = moved
    return graph


def is_mean(node: Node, *, open_size: bool) -> bool:
    """True for an average whose windows' weights sum to one."""
    op = node.op
    if not isinstance(op, ops.AvgPool2d) or not op.count_include_pad:
        return isinstance(op, ops.AvgPool2d | ops.AdaptiveAvgPool2d)
    counted = op.padding if open_size else Padding(*map(min, op.padding, op.reach(node.input)))
    return counted == Padding()


def _moved(graph: Graph, pool: str) -> Graph:
    """The graph with a pool moved before the first of the 1x1 convolutions that precede it."""
    nodes = list(graph)
    at = next(k for k, node in enumerate(nodes) if node.name == pool)
    start = at
    while start and (_is_single(nodes[start - 1].op) or isinstance(nodes[start - 1].op, _PASSED_OVER)):
        start -= 1
    start = next((k for k in range(start, at) if _is_single(nodes[k].op)), at)
    if start == at:
        return graph
    run = [replace(nodes[at], computes=""), *(replace(node, computes="") for node in nodes[start:at])]
    run[-1] = replace(run[-1], computes=nodes[at].computes)
    return graph.rebuilt((node, node.op) for node in (*nodes[:start], *run, *nodes[at + 1 :]))


def _is_single(op: ops.Op) -> bool:
    """True for a 1x1 convolution that keeps the map's size."""
    return isinstance(op, ops.Conv2d) and op.kernel_size == (1, 1) and op.stride == (1, 1) and op.padding == Padding()
