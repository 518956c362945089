"""A network as columns: a layer that changes the maps starts one, element-wise layers join it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from nin_spec.analysis.shapes import describe
from nin_spec.analysis.tables import ShapeTable
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Padding, Pair
from nin_spec.language.canonical import Canonical
from nin_spec.words import step_of

FAMILIES = {
    "input": "input",
    "conv": "convolution",
    "mix": "1×1 convolution",
    "pool": "pool",
    "dense": "dense",
    "flat": "flatten",
    "norm": "normalisation",
    "activation": "activation",
    "dropout": "dropout",
    "shuffle": "channel shuffle",
    "output": "softmax",
}
"""The families of layers, with their names in the legend."""

THIN = frozenset({"norm", "activation", "dropout", "shuffle", "output"})
"""Families whose output has the size of their input: drawn thin, in the column before them."""


class Drawable(Protocol):
    """A compiled spec, as much of it as is drawn."""

    @property
    def spec(self) -> Canonical:
        """The names of its blocks."""

    @property
    def graph(self) -> Graph:
        """Its layers."""

    @property
    def table(self) -> ShapeTable:
        """Its totals."""


@dataclass(frozen=True)
class Slab:
    """One layer's output: its channels, the rows of its maps, and its full title."""

    family: str
    channels: int
    rows: int
    title: str
    word: str = ""

    @property
    def thin(self) -> bool:
        """True for layers that keep the size of the maps."""
        return self.family in THIN


@dataclass(frozen=True)
class Column:
    """A layer that changes the maps and the thin ones after it; `marks` describe the kernel."""

    slabs: tuple[Slab, ...]
    head: str
    shape: str
    marks: tuple[str, ...] = ()

    @property
    def extras(self) -> tuple[tuple[str, str], ...]:
        """The family and label of each thin slab."""
        return tuple((s.family, s.word) for s in self.slabs if s.thin)


@dataclass(frozen=True)
class Group:
    """The columns of a block of the spec, or of the head."""

    name: str
    columns: tuple[Column, ...]


def groups_of(network: Drawable) -> list[Group]:
    """The input, each block with its name, and the head."""
    x = network.graph.input
    title = f"input: {x}" + (", or another size" if network.graph.open_size else "")
    first = Slab("input", x.shape[0], x.shape[1], title, "input")
    found = [Group("input", (Column((first,), "input", times(x.shape)),))]
    names = place_names(network)
    for place, nodes in _by_place(network.graph):
        found.append(Group(names.get(place, place), tuple(_columns(nodes))))
    return found


def _by_place(nodes: Iterable[Node]) -> list[tuple[str, list[Node]]]:
    found: list[tuple[str, list[Node]]] = []
    for node in nodes:
        place = place_of(node.name)
        if not found or found[-1][0] != place:
            found.append((place, []))
        found[-1][1].append(node)
    return found


def place_of(name: str) -> str:
    """The block that a layer's name begins with, or the head."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "blocks" else parts[0]


def place_names(network: Drawable) -> dict[str, str]:
    """The display name of each block: its own name, else its path."""
    return {f"blocks.{i}": b.name or f"blocks.{i}" for i, b in enumerate(network.spec.spec.blocks)}


def _columns(nodes: Iterable[Node]) -> Iterator[Column]:
    """Each layer that changes the maps with the thin ones after it; thin ones at the start are separate."""
    held: list[Node] = []
    for node in nodes:
        if held and family(node) not in THIN:
            yield _column(held)
            held = []
        held.append(node)
    yield _column(held)


def _column(nodes: list[Node]) -> Column:
    first = nodes[0]
    slabs = tuple(_slab(node) for node in nodes)
    head = "" if slabs[0].thin else _head(first)
    return Column(slabs, head, times(nodes[-1].output.shape), tuple(_marks(first.op)))


def _slab(node: Node) -> Slab:
    shape = node.output.shape
    words = (f"{node.name}: {node.kind}", times(describe(node)), f"gives {times(shape)}")
    count = sum(p.size for p in node.op.parameters(node.input) if p.trainable)
    title = ", ".join([w for w in words if w] + ([f"{count:,} parameters"] if count else []))
    return Slab(family(node), shape[0], shape[1] if node.output.is_map else 1, title, _word(node.op))


def family(node: Node) -> str:
    """Which of FAMILIES a layer belongs to."""
    match node.op:
        case ops.Conv2d(kernel_size=kernel):
            return "mix" if kernel == (1, 1) else "conv"
        case ops.Linear():
            return "dense"
        case ops.Flatten():
            return "flat"
        case ops.Softmax() | ops.LogSoftmax():
            return "output"
        case op:
            step = step_of(op)
            if step is None:
                raise TypeError(f"{node.name}: a {node.kind} belongs to no family of layers")
            return step


def _head(node: Node) -> str:
    match node.op:
        case ops.Conv2d() as conv:
            return f"conv {size(conv.kernel_size)}"
        case ops.Pool2d() as pool:
            return f"{pool.word} {size(pool.kernel_size)}"
        case ops.GlobalPool2d() as pool:
            return f"global {pool.over.word}"
        case ops.Linear():
            return "dense"
        case _:
            return node.kind.lower()


def _marks(op: ops.Op) -> Iterator[str]:
    if not isinstance(op, ops.Conv2d | ops.Pool2d):
        return
    if op.stride != (1, 1):
        yield f"stride {brief(op.stride)}"
    if op.padding != Padding():
        yield f"pad {times(op.padding)}"
    if isinstance(op, ops.Conv2d):
        yield from [f"dilation {brief(op.dilation)}"] if op.dilation != (1, 1) else []
        yield from [f"groups {op.groups}"] if op.groups != 1 else []
    elif op.ceil_mode:
        yield "ceil"


def _word(op: ops.Op) -> str:
    match op:
        case ops.Dropout(p=p) | ops.Dropout2d(p=p):
            return f"drop {p:g}"
        case ops.BatchNorm():
            return "batch norm"
        case ops.LocalResponseNorm():
            return "LRN"
        case ops.ChannelShuffle():
            return "shuffle"
        case ops.Maxout(pieces=pieces):
            return f"maxout {pieces}"
        case _:
            return type(op).__name__


def size(pair: Pair) -> str:
    """`3×3`."""
    return f"{pair[0]}×{pair[1]}"


def brief(pair: Pair) -> str:
    """A square as one number."""
    return str(pair[0]) if pair[0] == pair[1] else size(pair)


def times(value: object) -> str:
    """A shape, or the x between numbers in a text, with the multiplication sign."""
    if isinstance(value, tuple) and not isinstance(value, Padding):
        return "×".join(map(str, value))
    words = str(value).split(" ")
    return " ".join(w.replace("x", "×") if w[:1].isdigit() else w for w in words)
