"""Exact rewrites of a graph, one file per pass, named for its effect. Each preserves the function computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.ops import Op

Pass = Callable[[Graph], Graph]


class PassError(RuntimeError):
    """A pass broke the graph: a defect of nin-spec, never of a spec."""


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """The graph after all passes in order. Raises PassError if one changes the input or output type."""
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
    """The graph with each op replaced, or removed if `replace` returns None. Types are inferred again."""
    return chain(graph, ((node, op) for node in graph if (op := replace(node)) is not None))


def chain(graph: Graph, steps: Iterable[tuple[Node, Op]]) -> Graph:
    """A graph with the same name and input, from ops and the nodes that they replace."""
    built = Graph(graph.name, graph.input, open_size=graph.open_size)
    for node, op in steps:
        built = built.then(node.name, op, node.span, computes=node.computes)
    return built
