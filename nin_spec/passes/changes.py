"""What a pass did, from comparing the model before and after: changed nodes with their lines, and the savings.

So a pass need not keep a record, and can't claim what it did not do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nin_spec.diagnostics import Span
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.ops import Conv2d, Linear, Op
from nin_spec.ir.text import print_op, print_value
from nin_spec.model import Model


@dataclass(frozen=True, slots=True)
class Saved:
    """Savings in MACs and bytes of activations for one image, and bytes of parameters. Negative for an increase."""

    macs: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0

    def __add__(self, other: Saved) -> Saved:
        return Saved(
            self.macs + other.macs,
            self.parameter_bytes + other.parameter_bytes,
            self.activation_bytes + other.activation_bytes,
        )

    def __str__(self) -> str:
        from nin_spec.printing import memory

        words = [f"{self.macs:,} MACs"] if self.macs else []
        for size, what in ((self.parameter_bytes, "parameters"), (self.activation_bytes, "activations")):
            words += [f"{'-' if size < 0 else ''}{memory(abs(size))} of {what}"] if size else []
        return ", ".join(words) or "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """One node that a pass changed: `what` in words, and the span of the spec that the node comes from."""

    node: str
    what: str
    span: Span | None

    @property
    def place(self) -> str:
        """`nin_cifar.yaml:26`; empty for a node that the spec does not contain."""
        return f"{Path(self.span.source.name).name}:{self.span.line}" if self.span else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        file, line = (self.span.source.name, self.span.line) if self.span else (None, None)
        return {"node": self.node, "what": self.what, "file": file, "line": line}


@dataclass(frozen=True, slots=True)
class PassChanges:
    """What one pass changed, and the savings."""

    name: str
    changes: tuple[Change, ...]
    saved: Saved

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "changes": [c.as_dict() for c in self.changes], "saved": asdict(self.saved)}


def changes_of(name: str, before: Model, after: Model) -> PassChanges:
    """What the pass of that name did."""
    if after is before:
        return PassChanges(name, (), Saved())
    old, new = cost(before.graph), cost(after.graph)
    saved = Saved(
        old.macs - new.macs,
        old.parameter_bytes - new.parameter_bytes,
        old.activation_bytes - new.activation_bytes,
    )
    return PassChanges(name, tuple(_changes(before, after)), saved)


def cost(graph: Graph) -> Saved:
    """What a whole graph costs."""
    width = 8 if graph.input.dtype == "float64" else 4
    return Saved(
        sum(n.op.macs(n.input) for n in graph),
        sum(p.size for p in graph.parameters().values()) * width,
        sum(n.output.bytes for n in graph),
    )


def explanation_as_dict(passes: Sequence[PassChanges]) -> dict[str, Any]:
    """Plain data: each pass, and the totals."""
    return {"passes": [p.as_dict() for p in passes], "saved": asdict(sum((p.saved for p in passes), Saved()))}


def explanation(passes: Sequence[PassChanges]) -> str:
    """The same as text: a heading per pass, a row per change, the totals."""
    from nin_spec.printing import columns

    if not passes:
        return "no passes: the graph is exported as in the spec"
    lines = []
    for done in passes:
        lines.append(f"{done.name}: {_headline(done)}")
        rows = [(change.place, change.node, change.what) for change in done.changes]
        lines += [f"  {line}" for line in columns(rows)] if rows else []
    return "\n".join([*lines, f"in all: saves {sum((p.saved for p in passes), Saved())}"])


def _headline(done: PassChanges) -> str:
    count = len(done.changes)
    if not count:
        return "no changes"
    saves = "" if done.saved == Saved() else f", saves {done.saved}"
    return f"{count} change{'s' if count > 1 else ''}{saves}"


# ------------------------------------------------------------------ the comparison


def _changes(before: Model, after: Model) -> Iterator[Change]:
    old, new = ({node.name: node for node in model.graph} for model in (before, after))
    order = [name for name in old if name in new]
    arrived = [name for name in new if name in old]
    for name, node in old.items():
        if name not in new:
            yield _gone(node, before, after)
        elif not set(order[: order.index(name)]) <= set(arrived[: arrived.index(name)]):
            yield Change(name, f"{node.kind} moved before {arrived[arrived.index(name) + 1]}", node.span)
        elif what := _difference(node.op, new[name].op):
            yield Change(name, what, node.span)


def _gone(node: Node, before: Model, after: Model) -> Change:
    """What happened to a node that was removed."""
    host = _host(node, before, after)
    if host is None:
        return Change(node.name, f"{node.kind} removed", node.span)
    bias = f"{host.name}.bias"
    more = ", which gets a bias" if bias in after.weights and bias not in before.weights else ""
    return Change(node.name, f"{node.kind} folded into {host.name}{more}", node.span or host.span)


def _host(gone: Node, before: Model, after: Model) -> Node | None:
    """The convolution or dense layer with new weights that is nearest; None where no weights changed."""
    places = {node.name: k for k, node in enumerate(before.graph)}
    hosts = [n for n in after.graph if isinstance(n.op, Conv2d | Linear) and _new_weights(n.name, before, after)]
    return min(hosts, key=lambda n: abs(places[n.name] - places[gone.name]), default=None)


def _new_weights(node: str, before: Model, after: Model) -> bool:
    names = [name for name in after.graph.parameters() if name.rpartition(".")[0] == node]
    return any(before.weights.get(name) is not after.weights[name] for name in names)


def _difference(old: Op, new: Op) -> str:
    """`ceil_mode true -> false`, or both ops where their kinds differ. A new bias is reported with the folded node."""
    if type(old) is not type(new):
        return f"{type(old).__name__} -> {print_op(new)}"
    names = [f.name for f in fields(new) if f.name != "bias" and getattr(old, f.name) != getattr(new, f.name)]
    pairs = ((name, print_value(getattr(old, name)), print_value(getattr(new, name))) for name in names)
    text = ", ".join(f"{name} {a} -> {b}" for name, a, b in pairs)
    return f"{type(new).__name__} with {text}" if text else ""
