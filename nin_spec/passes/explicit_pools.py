"""Write ceil-mode pools as floor-mode pools with explicit end padding, where the size is fixed.

1. A max pool: padding never wins, so the padding becomes just what its windows touch.
2. An average that counts no padding: the same, its divisor being the real cells either way.
3. An average that counts padding which its windows do touch keeps just that padding. Where a ceil-mode
   window hangs over beyond it the pool stays in ceil mode, since its divisor counts some of the cells
   outside the input and not others.

Of two spellings of the same windows the one padded alike at both ends is written: a floor-mode pool leaves what its
windows don't reach of such padding, and other readers of ONNX refuse padding that differs by side.

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
    """The graph with every pool explicit that can be; unchanged where the size is open."""
    return graph if graph.open_size else rebuild(graph, explicit)


def explicit(node: Node) -> ops.Op:
    """The node's op with its padding made explicit, alike at both ends where it can be."""
    if not isinstance(node.op, ops.Pool2d):
        return node.op
    op = _explicit(node.op, node)
    return op if op.ceil_mode else evened(op, node.input)


def evened(op: PoolT, x: TensorType) -> PoolT:
    """A floor-mode pool with its end padding raised to that of the start, where no window touches what is added."""
    p, (rows, columns) = op.padding, op.counts(x)
    raised = replace(op, padding=Padding(p.top, max(p.top, p.bottom), p.left, max(p.left, p.right)))
    more_rows, more_columns = raised.counts(x)
    bottom = raised.padding.bottom if more_rows == rows else p.bottom
    right = raised.padding.right if more_columns == columns else p.right
    return replace(op, padding=Padding(p.top, bottom, p.left, right))


def _explicit(op: ops.Pool2d, node: Node) -> ops.Pool2d:
    reach = op.reach(node.input)
    if not isinstance(op, ops.AvgPool2d):
        return replace(op, padding=reach, ceil_mode=False)
    counted = Padding(*map(min, op.padding, reach)) if op.count_include_pad else Padding()
    if counted == Padding():
        return replace(op, padding=reach, ceil_mode=False, count_include_pad=False)
    if counted == reach:
        return replace(op, padding=reach, ceil_mode=False)
    return replace(op, padding=counted)
