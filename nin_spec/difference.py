"""The difference of two networks: layers added, removed or changed, and whether the function changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Literal

from nin_spec.analysis.tables import Row
from nin_spec.ir.text import print_op
from nin_spec.network import Network
from nin_spec.notebook import Facts, Table, view
from nin_spec.printing import arrow, pair

Kind = Literal["same", "changed", "removed", "added"]
Value = tuple[str, Any, Any]
"""A value that differs: its dotted path, before and after; None where absent."""


HEADERS = ("", "layer", "does", "output", "parameters", "MACs", "field")
RIGHT = frozenset({4, 5})
"""The columns of numbers."""
_MARKS: dict[Kind, str] = {"same": " ", "changed": "~", "removed": "-", "added": "+"}


@dataclass(frozen=True, slots=True)
class Change:
    """One layer of either network, or of both; `kind` is about what it does, not about its input."""

    kind: Kind
    before: Row | None
    after: Row | None

    @property
    def follows(self) -> bool:
        """Whether an unchanged layer has a different shape, receptive field or cost."""
        return self.kind == "same" and _consequences(self.before) != _consequences(self.after)

    def cells(self) -> tuple[str, ...]:
        """The layer as people read it, by HEADERS: one value where both agree, else `before -> after`."""
        sides = [row for row in (self.before, self.after) if row is not None]

        def of(value: Callable[[Row], str]) -> str:
            return " -> ".join(dict.fromkeys(map(value, sides)))

        return (
            ">" if self.follows else _MARKS[self.kind],
            of(lambda row: row.name),
            of(lambda row: f"{row.op} {row.detail}".strip()),
            of(lambda row: "x".join(map(str, row.output_shape))),
            of(lambda row: f"{row.parameters:,}"),
            of(lambda row: f"{row.macs:,}"),
            of(lambda row: pair(row.receptive_field)),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        sides = {"before": self.before, "after": self.after}
        return {"kind": self.kind, **{key: row.as_dict() if row else None for key, row in sides.items()}}


def _consequences(row: Row | None) -> object:
    return row and (row.output_shape, row.parameters, row.macs, row.receptive_field, row.jump)


@dataclass(frozen=True)
class Difference:
    """Two networks side by side. `same_function` compares their semantic hashes."""

    before: Network
    after: Network
    changes: tuple[Change, ...] = field(repr=False)

    @property
    def same_function(self) -> bool:
        """True if both compute the same scores, given the same tensors."""
        return self.before.hash == self.after.hash

    @property
    def same_text(self) -> bool:
        """True if nothing differs, including recipes and names."""
        return self.before.spec.data == self.after.spec.data

    def values(self) -> Iterator[Value]:
        """Each value of the canonical form that differs."""
        yield from differing(self.before.spec.data, self.after.spec.data)

    @property
    def verdict(self) -> str:
        """In one sentence, whether they are the same."""
        if self.same_text:
            return "the same network, written the same way"
        if self.same_function:
            return f"the same function ({self.before.hash}), but the specs differ"
        return f"two functions: {self.before.hash} and {self.after.hash}"

    @property
    def shown(self) -> tuple[Change, ...]:
        """The layers that differ in what they do, or in what follows from others."""
        return tuple(change for change in self.changes if change.kind != "same" or change.follows)

    def totals(self) -> list[tuple[str, ...]]:
        """Totals as people read them: name, before, an arrow, after, the change, and the change in percent."""
        a, b = self.before.table, self.after.table
        return [
            _total("parameters", a.parameters, b.parameters),
            _total("MACs", a.macs, b.macs),
            _total("weights, bytes", a.weight_bytes, b.weight_bytes),
            _total("peak activations, bytes", a.peak_memory, b.peak_memory),
        ]

    def elsewhere(self) -> list[Value]:
        """Each value that differs outside the layers: names, labels, preprocessing, the recipe."""
        return [value for value in self.values() if not value[0].startswith(("blocks", "head"))]

    def _repr_html_(self) -> str:
        layers = Table(HEADERS, [change.cells() for change in self.shown], RIGHT)
        totals = Facts([(name, " ".join(filter(None, rest))) for name, *rest in self.totals()])
        others = [Facts([(path, arrow(a, b)) for path, a, b in found])] if (found := self.elsewhere()) else []
        title = f"{self.before.graph.name} -> {self.after.graph.name}"
        return view(title, *([layers] if layers.rows else []), totals, *others, about=self.verdict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        tables = {"before": self.before.table, "after": self.after.table}
        totals = {key: {"parameters": t.parameters, "macs": t.macs, "hash": t.hash} for key, t in tables.items()}
        values = [{"path": path, "before": a, "after": b} for path, a, b in self.values()]
        changes = [change.as_dict() for change in self.changes]
        return {"same_function": self.same_function, "same_text": self.same_text, **totals, "layers": changes} | {
            "values": values
        }


def _total(name: str, a: int, b: int) -> tuple[str, ...]:
    change = "" if a == b else f"{b - a:+,}"
    share = "" if a == b or not a else f"{(b - a) / a:+.1%}"
    return (name, f"{a:,}", "->" if a != b else "", f"{b:,}" if a != b else "", change, share)


def compare(before: Network, after: Network) -> Difference:
    """The difference of two networks, with layers matched by their ops, in order."""
    old, new = before.table.rows, after.table.rows
    # What a layer does, independent of its input: its op, as printed in the graph.
    a, b = ([print_op(node.op) for node in network.graph] for network in (before, after))
    matcher = SequenceMatcher(a=a, b=b, autojunk=False)
    changes: list[Change] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            changes += [Change("same", *pair) for pair in zip(old[i:j], new[k:m], strict=True)]
        else:
            changes += _paired(list(old[i:j]), list(new[k:m]))
    return Difference(before, after, tuple(changes))


def _paired(old: list[Row], new: list[Row]) -> Iterator[Change]:
    """Layers of the same kind of op are paired as changed, in order; the others were removed or added."""
    for row in old:
        match = next((k for k, other in enumerate(new) if other.op == row.op), None)
        if match is None:
            yield Change("removed", row, None)
            continue
        yield from (Change("added", None, other) for other in new[:match])
        yield Change("changed", row, new[match])
        new = new[match + 1 :]
    yield from (Change("added", None, other) for other in new)


def differing(a: Any, b: Any, path: str = "") -> Iterator[Value]:
    """Each value that differs in two trees of plain data."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys((*a, *b)):
            yield from differing(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(a, list) and isinstance(b, list) and any(isinstance(x, dict) for x in (*a, *b)):
        for k in range(max(len(a), len(b))):
            yield from differing(_at(a, k), _at(b, k), f"{path}.{k}")
    elif a != b:
        yield path, a, b


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None
