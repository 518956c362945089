"""One graph for all spellings of one inference function, and its hash.

After the exact passes (identities dropped, pools explicit or global):

1. Along an axis with one window the stride is the smallest that keeps it one; along an axis with one tap
   the dilation is 1.
2. End padding that no window of a convolution touches is cut.
3. A leaky ReLU of slope 0 is a ReLU; a ReLU after a ReLU is dropped.
4. What only training sees is set to one value: the momentum of batch norm, the first slope of PReLU.
5. A flatten of what is already flat, or a global pool of single cells, is dropped.

Parameters are left open: two specs have one hash when, given the same tensors in the same order, they
compute the same scores from the same input. Names, labels, dropout and recipes do not count.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.text import print_op
from nin_spec.ir.types import Padding, Pair, end_padding
from nin_spec.passes import chain, rebuild, run_passes
from nin_spec.passes.drop_identities import drop_identities
from nin_spec.passes.explicit_pools import explicit_pools
from nin_spec.passes.global_pools import global_pools

VERSION = "nin1"


def semantic_hash(graph: Graph) -> str:
    """`nin1:` and 32 hexadecimal digits: equal for two spellings of one function."""
    form = normal_form(graph)
    head = f"{form.input}{' open' if form.open_size else ''}"
    text = "\n".join([head, *(print_op(node.op) for node in form)])
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def normal_form(graph: Graph) -> Graph:
    """The representative of all graphs that compute the same function."""
    exact = [explicit_pools, global_pools, drop_identities]
    return run_passes(graph, [*exact, plain_windows, plain_activations, drop_repeats])


def plain_windows(graph: Graph) -> Graph:
    """Rules 1 and 2. Where the size is open, only the dilation of single taps is settled."""
    return rebuild(graph, lambda node: _window(node, open_size=graph.open_size))


def _window(node: Node, *, open_size: bool) -> ops.Op:
    op = node.op
    if isinstance(op, ops.Conv2d):
        op = replace(op, dilation=_where(op.kernel_size, op.dilation, (1, 1)))
    if open_size or not isinstance(op, ops.Conv2d | ops.Pool2d):
        return op
    if isinstance(op, ops.Conv2d):
        op = replace(op, padding=_touched(op, node))
    elif op.ceil_mode:
        return op
    return replace(op, stride=_where((node.output.shape[1], node.output.shape[2]), op.stride, _least(op, node)))


def _where(counts: Pair, values: Pair, others: Pair) -> Pair:
    """`values`, but along an axis that counts only one, `others`."""
    a, b = (other if n == 1 else v for n, v, other in zip(counts, values, others, strict=True))
    return a, b


def _least(op: ops.Conv2d | ops.Pool2d, node: Node) -> Pair:
    """The smallest stride for which one window remains one."""
    (eh, ew), p = op.window(node.input)[0], op.padding
    _, h, w = node.input.maps()
    return h + p.top + p.bottom - eh + 1, w + p.left + p.right - ew + 1


def _touched(op: ops.Conv2d, node: Node) -> Padding:
    (_, h, w), (_, oh, ow), p = node.input.maps(), node.output.maps(), op.padding
    (eh, ew), (sh, sw) = op.extent, op.stride
    return Padding(p.top, end_padding(h, eh, sh, p.top, oh), p.left, end_padding(w, ew, sw, p.left, ow))


def plain_activations(graph: Graph) -> Graph:
    """Rule 3's first half, and rule 4."""
    return rebuild(graph, lambda node: _untrained(node.op))


def _untrained(op: ops.Op) -> ops.Op:
    match op:
        case ops.LeakyReLU(slope=0):
            return ops.ReLU()
        case ops.BatchNorm():
            return replace(op, momentum=0.0)
        case ops.PReLU():
            return replace(op, init=0.0)
        case _:
            return op


def drop_repeats(graph: Graph) -> Graph:
    """Rule 3's second half, and rule 5."""
    kept: list[tuple[Node, ops.Op]] = []
    for node in graph:
        again = isinstance(node.op, ops.ReLU) and kept and isinstance(kept[-1][1], ops.ReLU)
        if not again and not _keeps(node):
            kept.append((node, node.op))
    return chain(graph, kept)


def _keeps(node: Node) -> bool:
    if isinstance(node.op, ops.GlobalPool2d):
        return node.input.shape[1:] == (1, 1)
    return isinstance(node.op, ops.Flatten) and not node.input.is_map
