"""The graph: a typed, immutable chain of ops.

A Network-in-Network classifier is a chain: every published network among the oracles is one, and the
language rejects anything else. So a graph is a tuple of nodes: the input of node k is the output of node k-1, and nodes
are identified by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from nin_spec.diagnostics import Span
from nin_spec.ir.ops import Op
from nin_spec.ir.text import print_op
from nin_spec.ir.types import Pair, Parameter, TensorType
from nin_spec.notebook import Code, view


@dataclass(frozen=True, slots=True)
class Node:
    """One op in the chain: its name, its input and output types, and the span of the spec that it comes from.

    `computes` names the spec's node whose value this one computes. It differs from `name` if a pass merged or moved
    ops, and is empty if the spec has no such value.
    """

    name: str
    op: Op
    input: TensorType
    output: TensorType
    span: Span | None = None
    computes: str = ""

    @property
    def kind(self) -> str:
        """The op's name, as PyTorch calls the layer."""
        return type(self.op).__name__

    def parameters(self) -> dict[str, Parameter]:
        """The node's tensors by full name, `blocks.0.convs.1.weight`."""
        return {f"{self.name}.{p.name}": p for p in self.op.parameters(self.input)}


@dataclass(frozen=True, slots=True)
class Graph:
    """A chain of typed nodes. Build one with `Graph.start(...)` and `then(...)`; it can't be ill-typed.

    `open_size` says that height and width may vary at run time, `input` then holding the nominal size.
    """

    name: str
    input: TensorType
    nodes: tuple[Node, ...] = field(default=(), repr=False)
    open_size: bool = False

    @property
    def output(self) -> TensorType:
        """The output type of the last node."""
        return self.nodes[-1].output if self.nodes else self.input

    def then(self, name: str, op: Op, span: Span | None = None, *, computes: str | None = None) -> Graph:
        """This graph with one more node. Raises ShapeError when `op` can't take the output so far.

        Unless a pass sets `computes`, the node computes the value of its own name.
        """
        if any(n.name == name for n in self.nodes):
            raise ValueError(f"two nodes named {name!r}")
        node = Node(name, op, self.output, op.infer(self.output), span, name if computes is None else computes)
        return replace(self, nodes=(*self.nodes, node))

    def rebuilt(self, steps: Iterable[tuple[Node, Op]], start: Graph | None = None) -> Graph:
        """A graph of ops, each with the name and span of its node; after `start`, else from the same input."""
        built = replace(self, nodes=()) if start is None else start
        for node, op in steps:
            built = built.then(node.name, op, node.span, computes=node.computes)
        return built

    def receptive_fields(self) -> list[tuple[Pair, Pair]]:
        """(field, jump) after each node: the input cells that one of its cells sees, and from one cell to the next."""
        found: list[tuple[Pair, Pair]] = []
        reach, jump = (1, 1), (1, 1)
        for node in self.nodes:
            extent, stride = node.op.window(node.input)
            reach = (reach[0] + (extent[0] - 1) * jump[0], reach[1] + (extent[1] - 1) * jump[1])
            jump = (jump[0] * stride[0], jump[1] * stride[1])
            found.append((reach, jump))
        return found

    def parameters(self) -> dict[str, Parameter]:
        """Every tensor of the network by name, in layer order."""
        return {name: p for node in self.nodes for name, p in node.parameters().items()}

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def _repr_html_(self) -> str:
        return view(self.name, Code(str(self)))

    def __str__(self) -> str:
        """One line for the input and one per node: name, op with every attribute, output type.

        A node that computes another node's value says so.
        """
        size = " (open size)" if self.open_size else ""
        width = max((len(n.name) for n in self.nodes), default=0)
        head = f"{self.name}: {self.input}{size}"
        return "\n".join([head, *(_line(n, width) for n in self.nodes)]) + "\n"


def _line(node: Node, width: int) -> str:
    value = node.computes or "a value that the spec does not have"
    computes = "" if node.computes == node.name else f"  (computes {value})"
    return f"  {node.name:<{width}}  {print_op(node.op)} -> {node.output}{computes}"
