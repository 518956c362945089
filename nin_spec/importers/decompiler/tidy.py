"""Simplifies a chain: each pool in its simplest equivalent spelling.

1. A pool whose one window is the whole map is a global pool.
2. End padding that only completes the last window is `ceil_mode`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nin_spec.importers.chain import Chain
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.types import Padding, TensorType
from nin_spec.passes.explicit_pools import explicit
from nin_spec.passes.global_pools import as_global


def tidy(chain: Chain) -> Chain:
    """The chain with its pools in their plainest spelling; unchanged where the size is open."""
    if chain.open_size:
        return chain
    steps = tuple(replace(step, op=_plain(step.op, step.input)) for step in chain.steps)
    return replace(chain, steps=steps)


def _plain(op: ops.Op, x: TensorType) -> ops.Op:
    """The plainest op with the same windows: a global pool, else equal padding at both ends."""
    if not isinstance(op, ops.Pool2d):
        return op
    whole = as_global(_node(op, x))
    if not isinstance(whole, ops.Pool2d) or op.padding.symmetric:
        return whole
    meant = explicit(_node(op, x))
    return next((other for other in _others(op) if explicit(_node(other, x)) == meant), op)


def _others(op: ops.Pool2d) -> Iterator[ops.Pool2d]:
    """The same window padded alike at both ends, rounded down and up."""
    p = op.padding
    for ceil_mode in (False, True):
        yield replace(op, padding=Padding(p.top, p.top, p.left, p.left), ceil_mode=ceil_mode)


def _node(op: ops.Op, x: TensorType) -> Node:
    """A node that has the op's input, for what asks for its windows."""
    return Node("", op, x, x)
