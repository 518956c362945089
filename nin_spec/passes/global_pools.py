"""Write a pool with a single window over the whole map as a global pool, if the size is fixed.

1. A max pool with a single window over the whole map, and possibly over padding, which never wins.
2. An average with a single window over the whole map, which counts no cell outside it.
"""

from __future__ import annotations

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Padding
from nin_spec.passes import rebuild


def global_pools(graph: Graph) -> Graph:
    """The graph with such pools made global; unchanged for an open size."""
    return graph if graph.open_size else rebuild(graph, as_global)


def as_global(node: Node) -> ops.Op:
    """The node's op, or the equivalent global pool."""
    op = node.op
    if not isinstance(op, ops.Pool2d) or op.counts(node.input) != (1, 1):
        return op
    (kh, kw), (_, h, w), p = op.kernel_size, node.input.maps(), op.padding
    if kh - p.top < h or kw - p.left < w:
        return op
    if isinstance(op, ops.MaxPool2d):
        return ops.AdaptiveMaxPool2d()
    counts = isinstance(op, ops.AvgPool2d) and op.count_include_pad and p != Padding()
    return op if counts else ops.AdaptiveAvgPool2d()
