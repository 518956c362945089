"""Other sizes of a picture whose size is open: the smallest, odd and even ones, and one that leaves partial windows."""

from __future__ import annotations

from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Pair, ShapeError, TensorType


def other_sizes(graph: Graph) -> list[Pair]:
    """Up to three (height, width) that the network takes beside its nominal one."""
    _, height, width = graph.input.maps()
    smallest = next((s for s in range(1, min(height, width) + 1) if _fits(graph, (s, s))), min(height, width))
    wanted = [(smallest, smallest), (smallest + 1, smallest + 2), (height + 3, width + 5)]
    return [size for size in wanted if size != (height, width) and _fits(graph, size)]


def _fits(graph: Graph, size: Pair) -> bool:
    """Whether the network gives scores of its usual shape for a picture of this size."""
    x: TensorType = graph.input.with_shape(graph.input.shape[0], *size)
    try:
        for node in graph:
            if [p.shape for p in node.op.parameters(x)] != [p.shape for p in node.op.parameters(node.input)]:
                return False  # a dense layer over the cells of the nominal size
            x = node.op.infer(x)
    except ShapeError:
        return False
    return x == graph.output
