"""The graph as text, for golden files and for people."""

from __future__ import annotations

from dataclasses import fields

from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.ops import Op
from nin_spec.ir.types import Padding


def print_graph(graph: Graph) -> str:
    """One line for the input and one per node: name, op with every attribute, output type.

    A node that computes another node's value says so.
    """
    size = " (open size)" if graph.open_size else ""
    width = max((len(n.name) for n in graph.nodes), default=0)
    head = f"{graph.name}: {graph.input}{size}"
    return "\n".join([head, *(_line(n, width) for n in graph.nodes)]) + "\n"


def _line(node: Node, width: int) -> str:
    value = node.computes or "a value that the spec does not have"
    computes = "" if node.computes == node.name else f"  (computes {value})"
    return f"  {node.name:<{width}}  {print_op(node.op)} -> {node.output}{computes}"


def print_op(op: Op) -> str:
    """`Conv2d(out_channels=192, kernel_size=5x5, ...)`, every attribute written out."""
    attributes = ", ".join(f"{f.name}={print_value(getattr(op, f.name))}" for f in fields(op))
    return f"{type(op).__name__}({attributes})"


def print_value(value: object) -> str:
    """A pair as 3x3, a longer list as [2,1,0], a padding by side, a bool as in YAML."""
    if isinstance(value, Padding):
        return str(value)
    if isinstance(value, tuple):
        return "x".join(map(str, value)) if len(value) == 2 else f"[{','.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
