"""Write a pool with a single window over the whole map as a global pool, if the size is fixed.

1. A pool that has a global form, with a single window over the whole map, and possibly over padding.
2. Not so an average that counts padding.
"""

from __future__ import annotations

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
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
    whole = None if op.counts_padding else op.whole()
    return op if whole is None else whole
