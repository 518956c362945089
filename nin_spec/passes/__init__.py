"""Exact rewrites of a graph, one file per pass, named for its effect. Each preserves the function computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.ops import Op
from nin_spec.model import Model

Pass = Callable[[Graph], Graph]
Subject = TypeVar("Subject", Graph, Model)


class Step(NamedTuple, Generic[Subject]):
    """A pass that ran, and the graph or the model before and after it."""

    name: str
    before: Subject
    after: Subject


class PassError(RuntimeError):
    """A pass broke the graph: a defect of nin-spec, never of a spec."""


def run_passes(subject: Subject, passes: Mapping[str, Callable[[Subject], Subject]]) -> list[Step[Subject]]:
    """Run the passes in order, each on the result of the one before.

    Raises PassError for a pass that changes the type of the input or the output.
    """
    done: list[Step[Subject]] = []
    for name, rewrite in passes.items():
        step = Step(name, subject, rewrite(subject))
        before, after = _graph(subject), _graph(step.after)
        if (before.input, before.output) != (after.input, after.output):
            ran = f" after {', '.join(other.name for other in done)}" if done else ""
            change = f"{before.input} -> {before.output} into {after.input} -> {after.output}"
            raise PassError(f"{name} turned {change}{ran}")
        done.append(step)
        subject = step.after
    return done


def _graph(subject: Graph | Model) -> Graph:
    return subject if isinstance(subject, Graph) else subject.graph


def rebuild(graph: Graph, replace: Callable[[Node], Op | None]) -> Graph:
    """The graph with each op replaced, or removed if `replace` returns None. Types are inferred again."""
    return graph.rebuilt((node, op) for node in graph if (op := replace(node)) is not None)
