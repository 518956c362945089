"""Write ceil-mode pools as floor-mode pools with explicit end padding, where the size is fixed.

1. A max pool: padding never wins, so the padding becomes just what its windows touch.
2. A pool that counts no padding: the same, its divisor being the real cells either way.
3. An average that counts padding keeps just the padding that its windows cover. If a ceil-mode window extends past it,
the pool stays in ceil mode, since its divisor counts some of the cells
   outside the input and not others.

Of two spellings of the same windows, the symmetric one is written: a floor-mode pool ignores padding that its windows
don't reach, and some readers of ONNX reject asymmetric padding.

Cases 1 and 2 keep the pool in the blocked layout of onnxruntime's CPU provider, which ceil_mode leaves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Padding, TensorType
from nin_spec.passes import rebuild

PoolT = TypeVar("PoolT", bound=ops.Pool2d)


def explicit_pools(graph: Graph) -> Graph:
    """The graph with explicit pools where possible; unchanged for an open size."""
    return graph if graph.open_size else rebuild(graph, explicit)


def explicit(node: Node) -> ops.Op:
    """The node's op with explicit padding, symmetric where possible."""
    if not isinstance(node.op, ops.Pool2d):
        return node.op
    op = _explicit(node.op, node)
    return op if op.ceil_mode else evened(op, node.input)


def evened(op: PoolT, x: TensorType) -> PoolT:
    """A floor-mode pool with its end padding raised to that of the start, if no window reaches the added cells."""
    p, (rows, columns) = op.padding, op.counts(x)
    raised = replace(op, padding=Padding(p.top, max(p.top, p.bottom), p.left, max(p.left, p.right)))
    more_rows, more_columns = raised.counts(x)
    bottom = raised.padding.bottom if more_rows == rows else p.bottom
    right = raised.padding.right if more_columns == columns else p.right
    return replace(op, padding=Padding(p.top, bottom, p.left, right))


def _explicit(op: ops.Pool2d, node: Node) -> ops.Pool2d:
    reach = op.reach(node.input)
    counted = Padding(*map(min, op.padding, reach)) if op.counts_padding else Padding()
    if counted == Padding():
        return replace(op.uncounted(), padding=reach, ceil_mode=False)
    if counted == reach:
        return replace(op, padding=reach, ceil_mode=False)
    return replace(op, padding=counted)
