"""Exact rewrites of a graph, one file each, named for its effect; each keeps the function computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.ops import Op

Pass = Callable[[Graph], Graph]


class PassError(RuntimeError):
    """A pass broke the graph: a defect of nin-spec, never of a spec."""


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """The graph after each pass in order. A pass that changes the input's or the output's type is named."""
    done: list[str] = []
    for rewrite in passes:
        name = rewrite.__module__.rpartition(".")[2]
        after = rewrite(graph)
        if (after.input, after.output) != (graph.input, graph.output):
            before = f" after {', '.join(done)}" if done else ""
            raise PassError(f"{name} turned {graph.output} into {after.output}{before}")
        graph = after
        done.append(name)
    return graph


def rebuild(graph: Graph, replace: Callable[[Node], Op | None]) -> Graph:
    """The graph with each op replaced, or left out where `replace` gives None. Types are inferred anew."""
    return chain(graph, ((node, op) for node in graph if (op := replace(node)) is not None))


def chain(graph: Graph, steps: Iterable[tuple[Node, Op]]) -> Graph:
    """A graph of the same name and input from ops and the nodes that they stand for."""
    built = Graph(graph.name, graph.input, open_size=graph.open_size)
    for node, op in steps:
        built = built.then(node.name, op, node.span, gives=node.gives)
    return built
