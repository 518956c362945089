"""The page's facts about a network: the numbers of `nin-spec build`, and their fractions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.analysis.tables import HEADERS, Row, all_cells
from nin_spec.diagnostics import Diagnostic
from nin_spec.diagrams.columns import THIN, family, place_names, place_of, times
from nin_spec.ir.types import Pair
from nin_spec.printing import memory, pair

if TYPE_CHECKING:
    from nin_spec.network import Network


@dataclass(frozen=True)
class Figure:
    """One of the totals: its name, short and full value."""

    name: str
    short: str
    full: str = ""


@dataclass(frozen=True)
class Bar:
    """A number as text, and the length of its bar: the fraction of the largest."""

    text: str
    share: float


@dataclass(frozen=True)
class Cost:
    """A layer with the thin ones after it: parameters, MACs, and memory of the outputs."""

    family: str
    name: str
    detail: str
    bars: tuple[Bar, Bar, Bar]


@dataclass(frozen=True)
class Field:
    """The receptive field at the end of a block, in pixels of the input."""

    name: str
    extent: Pair
    jump: Pair
    beyond: bool

    @property
    def size(self) -> str:
        """Height by width."""
        return f"{self.extent[0]}×{self.extent[1]}"

    @property
    def step(self) -> str:
        """The jump; a square as one number."""
        return times(pair(self.jump))


def figures(network: Network) -> list[Figure]:
    """The totals, for the top of the page."""
    table = network.table
    buffers = f" and {table.buffers:,} buffers" if table.buffers else ""
    return [
        Figure("input", times(table.input), f"{table.dtype}{', or another size' if network.graph.open_size else ''}"),
        Figure("classes", f"{network.spec.spec.class_count:,}"),
        Figure("parameters", short(table.parameters), f"{table.parameters:,}{buffers}"),
        Figure("MACs per image", short(table.macs), f"{table.macs:,}"),
        Figure("weights", memory(table.weight_bytes), f"{table.weight_bytes:,} bytes"),
        Figure("activations", memory(table.peak_memory), "at the peak, per image"),
    ]


def short(number: int) -> str:
    """Three digits and a unit: `966,986` as `967 k`."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            value = number / size
            return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"
    return str(number)


# ------------------------------------------------------------------ layers


def costs(network: Network) -> list[Cost]:
    """Each layer that changes the maps, with the thin ones after it; the bars of a column have one scale."""
    groups: list[list[tuple[str, Row]]] = []
    for node, row in zip(network.graph, network.table.rows, strict=True):
        kind = family(node)
        if not groups or kind not in THIN or place_of(row.name) != place_of(groups[-1][0][1].name):
            groups.append([])
        groups[-1].append((kind, row))
    sums = [_sums([row for _, row in group]) for group in groups]
    most = [max(column) or 1 for column in zip(*sums, strict=True)]
    return [_cost(group, found, most) for group, found in zip(groups, sums, strict=True)]


def _sums(rows: list[Row]) -> tuple[int, int, int]:
    return sum(r.parameters for r in rows), sum(r.macs for r in rows), sum(r.memory for r in rows)


def _cost(group: list[tuple[str, Row]], sums: tuple[int, int, int], most: list[int]) -> Cost:
    kind, first = group[0]
    extras = "".join(f" + {row.op}" for _, row in group[1:])
    texts = [f"{n:,}" if n else "" for n in sums[:2]] + [memory(sums[2])]
    bars = [Bar(text, n / m) for text, n, m in zip(texts, sums, most, strict=True)]
    return Cost(kind, first.name, f"{first.op}{extras}", (bars[0], bars[1], bars[2]))


def cost_totals(network: Network) -> tuple[str, str, str]:
    """The sums of the three columns."""
    table = network.table
    return f"{table.parameters:,}", f"{table.macs:,}", memory(sum(r.memory for r in table.rows))


def shapes(network: Network) -> tuple[list[str], list[list[tuple[str, str]]]]:
    """The shape table: the headers, and each row's cells with their headers."""
    headers = [h or "detail" for h in HEADERS]
    rows = all_cells(network.table)
    return headers, [[(h, times(c) if h in ("detail", "output") else c) for h, c in _named(headers, r)] for r in rows]


def _named(headers: list[str], cells: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield from zip(headers, cells, strict=True)


def fields(network: Network) -> list[Field]:
    """The receptive field at the end of each block, and of the head."""
    names = place_names(network)
    last = {place_of(row.name): row for row in network.table.rows}
    shape = network.table.input[1:]
    return [
        Field(
            names.get(place, place),
            row.receptive_field,
            row.jump,
            any(f > size for f, size in zip(row.receptive_field, shape, strict=True)),
        )
        for place, row in last.items()
    ]


# ------------------------------------------------------------------ recipe, lint


def recipe(network: Network) -> list[tuple[str, str]]:
    """The recipe as labelled values; empty if there is none."""
    declared = network.spec.data.get("train") or {}
    return [(key.replace("_", " "), words(value)) for key, value in declared.items() if value not in (None, {}, [])]


def words(value: Any) -> str:
    """A value as readable text: `sgd, lr 0.1, momentum 0.9`."""
    match value:
        case dict():
            named = [v if k == "kind" else f"{str(k).replace('_', ' ')} {words(v)}" for k, v in value.items()]
            return ", ".join(map(str, named))
        case list():
            return " ".join(map(words, value))
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def remarks(network: Network) -> list[tuple[Diagnostic, str]]:
    """The findings of lint, each with its position in the text."""
    from nin_spec.lint import lint

    return [(found, _position(found)) for found in lint(network)]


def _position(found: Diagnostic) -> str:
    span = found.span
    return f"{Path(span.source.name).name}:{span.line}" if span else ""
