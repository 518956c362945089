"""The sizes at which a network with an open size is tested, chosen to reveal files that match only at some sizes.

A window may end at the map's end, or leave a partial window; a file that counts or rounds differently differs only at
some remainders of the size. So along each axis the sizes are the nominal one, the smallest that the network allows, and
then each that is new for some window: a new remainder, or an odd or even map.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Pair, ShapeError, TensorType

SEEN = 64
"""Sizes considered along an axis from the smallest on: the strides of usual networks multiply to less."""
TRIED = 8
"""Sizes tested in addition to the nominal one. They are small, so that the proof costs little more."""

Fact = tuple[str, int]


def sizes_to_try(graph: Graph) -> list[Pair]:
    """(height, width) to prove a graph of an open size at: the nominal one first, then the smallest, then others."""
    _, height, width = graph.input.maps()
    down, across = (_along(graph, axis) for axis in (0, 1))
    pairs = [(height, width), (down[0], across[0])]
    # Each axis in a different order, to detect swapped height and width.
    rest = zip_longest(down[1:], [*across[2:], *across[1:2]], fillvalue=None)
    pairs += [(h or down[-1], w or across[-1]) for h, w in rest]
    return list(dict.fromkeys(pairs))[: TRIED + 1]


def other_sizes(graph: Graph) -> list[Pair]:
    """The sizes beside the nominal one to try a file of another tool at: those above, and one that is larger.

    Such a file may cut off what is beyond its nominal size. There are none where the network allows no other.
    """
    _, height, width = graph.input.maps()
    larger = (height + 3, width + 5)
    try:
        _facts(graph, larger)
    except ShapeError:
        return sizes_to_try(graph)[1:]
    return [*sizes_to_try(graph)[1:], larger]


def _along(graph: Graph, axis: int) -> list[int]:
    """Sizes along an axis, the other as the spec names it: the smallest, and those that show something new."""
    found: list[int] = []
    known: set[Fact] = set()
    for size, facts in _legal(graph, axis):
        new = facts - known
        if new or not found:
            found.append(size)
            known |= facts
    return found


def _legal(graph: Graph, axis: int) -> Iterator[tuple[int, set[Fact]]]:
    """The first sizes that the network allows, and what each shows."""
    nominal = graph.input.shape[1 + axis]
    smallest = None
    for size in range(1, nominal + SEEN):
        if smallest is not None and size >= smallest + SEEN:
            return
        sides = (size, graph.input.shape[2]) if axis == 0 else (graph.input.shape[1], size)
        try:
            facts = _facts(graph, sides)[axis]
        except ShapeError:
            continue
        smallest = smallest or size
        yield size, facts


def _facts(graph: Graph, size: Pair) -> tuple[set[Fact], set[Fact]]:
    """For each window whether the map's size is odd, and how far its last window hangs over or falls short, by axis.

    Raises ShapeError for a size that the network doesn't allow: it gives no scores, or has other weights there.
    """
    x = TensorType((graph.input.shape[0], *size), graph.input.dtype)
    facts = {("input", size[0] % 2)}, {("input", size[1] % 2)}
    for node in graph:
        if node.op.parameters(x) != node.op.parameters(node.input):
            raise ShapeError(f"{node.name} has other weights at this size")  # a dense layer over cells
        after = node.op.infer(x)
        if isinstance(node.op, ops.Pool2d | ops.Conv2d):
            for axis in (0, 1):
                facts[axis].add((f"{node.name} is odd", x.shape[1 + axis] % 2))
                facts[axis].add((node.name, _left_over(node.op, x, after, axis)))
        x = after
    return facts


def _left_over(op: ops.Pool2d | ops.Conv2d, x: TensorType, after: TensorType, axis: int) -> int:
    """Cells by which the last window exceeds the padded map; negative if it leaves some out."""
    p = op.padding
    padding = ((p.top, p.bottom), (p.left, p.right))[axis]
    extents, strides = op.window(x)
    last = (after.shape[1 + axis] - 1) * strides[axis] + extents[axis]
    return last - x.shape[1 + axis] - sum(padding)
