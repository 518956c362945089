"""The difference of two networks: layers added, removed or changed, and whether the function changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from nin_spec.analysis.tables import Row
from nin_spec.ir.text import print_op
from nin_spec.network import Network

Kind = Literal["same", "changed", "removed", "added"]


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
    changes: tuple[Change, ...]

    @property
    def same_function(self) -> bool:
        """True if both compute the same scores, given the same tensors."""
        return self.before.hash == self.after.hash

    @property
    def same_text(self) -> bool:
        """True if nothing differs, including recipes and names."""
        return self.before.spec.data == self.after.spec.data

    def values(self) -> Iterator[tuple[str, Any, Any]]:
        """Each value of the canonical form that differs: its dotted path, before and after; None where absent."""
        yield from _values("", self.before.spec.data, self.after.spec.data)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        tables = {"before": self.before.table, "after": self.after.table}
        totals = {key: {"parameters": t.parameters, "macs": t.macs, "hash": t.hash} for key, t in tables.items()}
        values = [{"path": path, "before": a, "after": b} for path, a, b in self.values()]
        changes = [change.as_dict() for change in self.changes]
        return {"same_function": self.same_function, "same_text": self.same_text, **totals, "layers": changes} | {
            "values": values
        }


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


def _values(path: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys((*a, *b)):
            yield from _values(f"{path}.{key}" if path else str(key), a.get(key), b.get(key))
    elif isinstance(a, list) and isinstance(b, list) and any(isinstance(x, dict) for x in (*a, *b)):
        for k in range(max(len(a), len(b))):
            yield from _values(f"{path}.{k}", *(x[k] if k < len(x) else None for x in (a, b)))
    elif a != b:
        yield path, a, b
