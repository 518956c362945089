"""Where a network's class maps are, and the pass that makes the average over them its last layer.

A class map says for each cell what the network's score would be if the average were over that cell alone; so its mean
is the score (Lin et al. 2013, section 3.2). That holds where everything after the average is affine:

1. nothing, or layers that are the identity at inference: the maps are what is averaged;
2. 1x1 convolutions, dense layers and batch norms without an activation, as in Zhou et al. 2016, section 2. The pass
   `average_last` applies them to each cell, and averages last.

A final softmax or log-softmax turns the mean into probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nin_spec.diagnostics import Span
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import Pair
from nin_spec.model import Model
from nin_spec.passes.drop_identities import is_identity
from nin_spec.passes.global_pools import as_global
from nin_spec.passes.layers import Layer, layers_of, model_of

_BY_CHANNEL = (ops.Flatten, ops.Linear, ops.BatchNorm, ops.ChannelShuffle, Affine, ChannelOrder, Temperature)


class NoClassMapsError(ValueError):
    """The network's scores are not the averages of maps: of which layer, and its line."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.span = span


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cells of a map lie in the input, in pixels, as (vertical, horizontal).

    The cell of row 0 and column 0 sees `field` pixels from `offset` on, which may lie in the padding and be negative;
    the next cell's field starts `jump` pixels further (Araujo et al. 2019, "Computing receptive fields of CNNs").
    """

    field: Pair
    jump: Pair
    offset: Pair

    def seen(self, axis: int, index: int, size: int) -> range:
        """The pixels of an input of that size that the cells of a row (axis 0) or a column (axis 1) see."""
        start = self.offset[axis] + index * self.jump[axis]
        return range(min(max(start, 0), size), max(0, min(start + self.field[axis], size)))

    def centre(self, axis: int, index: int) -> float:
        """The middle of a cell's field, in pixels from the input's edge; half a pixel is the middle of the first."""
        return self.offset[axis] + index * self.jump[axis] + self.field[axis] / 2

    def as_dict(self) -> dict[str, list[int]]:
        """Plain data, for the file's metadata."""
        return {"field": [*self.field], "jump": [*self.jump], "offset": [*self.offset]}


@dataclass(frozen=True, slots=True)
class ClassMaps:
    """The average over the class maps of a graph.

    `average` is the index of its node, and `end` that after the last affine node: a softmax may follow.
    """

    graph: Graph
    average: int
    end: int

    @property
    def node(self) -> Node:
        """The average."""
        return self.graph.nodes[self.average]

    @property
    def tail(self) -> tuple[Node, ...]:
        """The affine nodes after the average, with the flatten."""
        return self.graph.nodes[self.average + 1 : self.end]

    @property
    def size(self) -> Pair:
        """Rows and columns of a map; at the nominal size for an open one."""
        _, height, width = self.node.input.maps()
        return height, width

    @property
    def place(self) -> Place:
        """Where the cells lie in the input."""
        return place_of(self.graph, self.average)


def class_maps(graph: Graph) -> ClassMaps:
    """The class maps of a network.

    Raises NoClassMapsError, which names the layer by which its scores are not averages.
    """
    nodes = graph.nodes
    end = len(nodes)
    while end and isinstance(nodes[end - 1].op, ops.Softmax | ops.LogSoftmax):
        end -= 1
    found: int | None = None
    for at in range(end - 1, -1, -1):
        node = nodes[at]
        if _averages(node, open_size=graph.open_size):
            found = at  # an average over one cell is affine, and one before it may have more
        elif not _is_affine(node):
            if found is None:
                raise NoClassMapsError(_why(node), node.span)
            break
    if found is None:
        raise NoClassMapsError("the network has no average over its maps")
    return ClassMaps(graph, found, end)


def place_of(graph: Graph, count: int) -> Place:
    """Where the cells of the value after the first `count` nodes lie in the input."""
    jump, offset = (1, 1), (0, 0)
    for node, (_, after) in zip(graph.nodes[:count], graph.receptive_fields(), strict=False):
        if isinstance(node.op, ops.Conv2d | ops.Pool2d):
            padding = node.op.padding
            offset = (offset[0] - padding.top * jump[0], offset[1] - padding.left * jump[1])
        jump = after
    field = graph.receptive_fields()[count - 1][0] if count else (1, 1)
    return Place(field, jump, offset)


def average_last(model: Model) -> Model:
    """The model with the average over its class maps after everything affine. Raises NoClassMapsError.

    An average of one cell by one is written as a global one: as the identity that it is, it would be dropped.
    """
    found = class_maps(model.graph)
    layers = list(layers_of(model))
    if is_identity(found.node):
        layers[found.average] = replace(layers[found.average], op=ops.AdaptiveAvgPool2d())
        model = model_of(model, layers)
    head, average, final = layers[: found.average], layers[found.average], layers[found.end :]
    one_cell = (ops.Flatten, ops.GlobalPool2d, ops.Pool2d)
    tail = [layer for layer in layers[found.average + 1 : found.end] if not isinstance(layer.op, one_cell)]
    if all(is_identity(layer.node) for layer in tail):
        return model
    flat = next(layer for layer in layers[found.average + 1 : found.end] if isinstance(layer.op, ops.Flatten))
    moved = [_each_cell(layer) for layer in tail]
    last = replace(flat, node=replace(flat.node, computes=layers[found.end - 1].node.computes))
    return model_of(model, [*head, *moved, _valueless(average), last, *final])


def _each_cell(layer: Layer) -> Layer:
    """A layer of the tail, for maps: a dense layer is a 1x1 convolution."""
    layer = _valueless(layer)
    if not isinstance(layer.op, ops.Linear):
        return layer
    weight = layer.arrays["weight"]
    op = ops.Conv2d(layer.op.out_features, (1, 1), bias=layer.op.bias)
    return replace(layer, op=op, arrays={**layer.arrays, "weight": weight.reshape(*weight.shape, 1, 1)})


def _valueless(layer: Layer) -> Layer:
    """A layer whose value the spec does not have."""
    return replace(layer, node=replace(layer.node, computes=""))


# ------------------------------------------------------------------ what is an average, and what is affine


def _averages(node: Node, *, open_size: bool) -> bool:
    """True for an average of all cells, each counting the same."""
    op = node.op if open_size else as_global(node)
    return isinstance(op, ops.AdaptiveAvgPool2d)


def _is_affine(node: Node) -> bool:
    """True for a node after the average that is affine, so that it may as well come before."""
    op, single = node.op, node.input.shape[1:] in {(), (1, 1)}
    if isinstance(op, ops.Conv2d):
        return single and node.output.shape[1:] == (1, 1) and op.kernel_size == (1, 1)
    return single and (is_identity(node) or isinstance(op, _BY_CHANNEL))


def _why(node: Node) -> str:
    """Why the scores are not averages, for the last node that is neither affine nor an average."""
    match node.op:
        case ops.AdaptiveMaxPool2d():
            return f"a score is the maximum of its map, not the mean: {node.name} is a maximum"
        case ops.AvgPool2d():
            return f"{node.name} does not average all cells of its maps alike"
        case ops.Flatten():
            height, width = node.input.shape[1:]
            return f"no average over the maps comes before the dense layers: {node.name} has {height}x{width} cells"
        case ops.Pool2d():
            return f"{node.name} is a {node.op.noun}, and no average over the maps comes after it"
        case _:
            return f"{node.name} ({node.kind}) comes after the last average over the maps, and is not affine"
