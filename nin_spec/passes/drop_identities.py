"""Remove what does nothing at inference.

1. Dropout of either kind.
2. A pool over single cells with stride 1 and no padding.
3. A shuffle in one group, or in as many as there are channels.
4. Maxout over one piece.
"""

from __future__ import annotations

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Padding
from nin_spec.passes import rebuild


def drop_identities(graph: Graph) -> Graph:
    """The graph without them."""
    return rebuild(graph, lambda node: None if is_identity(node) else node.op)


def is_identity(node: Node) -> bool:
    """True if the node returns its input unchanged at inference."""
    match node.op:
        case ops.Dropout() | ops.Dropout2d():
            return True
        case ops.Pool2d(kernel_size=(1, 1), stride=(1, 1), padding=padding) as pool:
            return pool.keeps and padding == Padding()
        case ops.ChannelShuffle(groups=groups):
            return groups in {1, node.input.shape[0]}
        case ops.Maxout(pieces=pieces):
            return pieces == 1
        case _:
            return False
