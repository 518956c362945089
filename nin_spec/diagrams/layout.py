"""The layout of a diagram: columns in rows of a given width, blocks kept together if they fit.

Heights are linear in the rows of the maps, widths in the square root of the channels; one scale applies to the whole
picture. Units are CSS pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nin_spec.diagrams.columns import Column, Group, Slab

LINE = 13.5
"""From one line of text to the next."""

_LETTER, _BOLD = 6.4, 7.0  # of a sans serif at 10 pixels, a generous estimate: fonts differ between machines
_GAP, _PAD, _THIN, _STRETCH = 8, 6, 4, 20
_HEADER, _ROOM, _BETWEEN = 24, 12, 8
_LEAST = 36


@dataclass(frozen=True)
class Scale:
    """Pixels per row of a map, and per square root of a channel."""

    row: float
    root: float

    def height(self, slab: Slab) -> float:
        """Linear in the rows."""
        return self.row * slab.rows

    def width(self, slab: Slab) -> float:
        """By the square root of the channels; thin slabs have equal width."""
        return _THIN if slab.thin else self.root * math.sqrt(slab.channels)


@dataclass(frozen=True)
class Place:
    """A positioned column: the left edge and width of the column, and of its slabs."""

    column: Column
    x: float
    width: float
    drawn: tuple[tuple[Slab, float, float, float], ...]
    """Each slab, its left edge, width and height."""

    @property
    def middle(self) -> float:
        """The middle of the column."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Card:
    """A block, or as much of it as fits into a row."""

    name: str
    x: float
    width: float
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Row:
    """Cards side by side: the top edge, the axis that centres the maps, the start of the text, the bottom edge."""

    cards: tuple[Card, ...]
    top: float
    axis: float
    text: float
    bottom: float


def scale_of(groups: Sequence[Group], width: float) -> Scale:
    """The scale at which the largest map and the most channels fill their space in the picture."""
    slabs = [s for g in groups for c in g.columns for s in c.slabs]
    tall = min(220.0, 60 + width / 5)
    return Scale(tall / max(s.rows for s in slabs), 40 / math.sqrt(max(s.channels for s in slabs)))


def lines_of(column: Column) -> list[tuple[str, str]]:
    """The lines below a column: the kind of each and its text."""
    head = [("head", column.head)] if column.head else []
    marks = [("mark", mark) for mark in column.marks]
    return [*head, ("shape", column.shape), *marks, *column.extras]


def rows_of(groups: Sequence[Group], width: float, scale: Scale) -> list[Row]:
    """The rows from the top, each as high as its content."""
    rows: list[Row] = []
    top = 0.0
    for parts in _wrapped(groups, width, scale):
        rows.append(_row(parts, top, width, scale))
        top = rows[-1].bottom + _BETWEEN
    return rows


Part = tuple[str, tuple[Column, ...]]


def _wrapped(groups: Sequence[Group], width: float, scale: Scale) -> Iterator[list[Part]]:
    """The groups in rows; one that is wider than a row is cut."""
    row: list[Part] = []
    left = width
    for group in groups:
        for columns in _cut(group.columns, width, scale):
            needed = _card_width(columns, scale)
            if row and needed > left:
                yield row
                row, left = [], width
            row.append((group.name, columns))
            left -= needed + _BETWEEN
    yield row


def _cut(columns: tuple[Column, ...], width: float, scale: Scale) -> Iterator[tuple[Column, ...]]:
    """The columns in as few parts as fit, of about equal length."""
    needed = _card_width(columns, scale)
    pieces = min(len(columns), max(1, math.ceil((needed - 2 * _PAD) / max(1, width - 2 * _PAD))))
    while pieces < len(columns) and max(_card_width(p, scale) for p in _pieces(columns, pieces)) > width:
        pieces += 1
    yield from _pieces(columns, pieces)


def _pieces(columns: tuple[Column, ...], count: int) -> list[tuple[Column, ...]]:
    ends = [round(k * len(columns) / count) for k in range(count + 1)]
    return [columns[a:b] for a, b in pairwise(ends)]


def _card_width(columns: Sequence[Column], scale: Scale) -> float:
    return sum(_column_width(c, scale) for c in columns) + 2 * _PAD


def _column_width(column: Column, scale: Scale) -> float:
    text = max(len(text) * (_BOLD if kind == "head" else _LETTER) for kind, text in lines_of(column))
    return max(text, sum(scale.width(s) for s in column.slabs)) + _GAP


def _row(parts: Sequence[Part], top: float, width: float, scale: Scale) -> Row:
    columns = [c for _, group in parts for c in group]
    used = sum(_card_width(group, scale) for _, group in parts) + (len(parts) - 1) * _BETWEEN
    stretch = max(0.0, min(_STRETCH, (width - used) / len(columns)))
    high = max(_LEAST, *(scale.height(s) for c in columns for s in c.slabs))
    text = top + _HEADER + high + 2 * _ROOM
    bottom = text + max(len(lines_of(c)) for c in columns) * LINE + 2
    cards: list[Card] = []
    x = 0.0
    for name, group in parts:
        cards.append(_card(name, group, x, stretch, scale))
        x += cards[-1].width + _BETWEEN
    return Row(tuple(cards), top, top + _HEADER + _ROOM / 2 + high / 2, text, bottom)


def _card(name: str, columns: Sequence[Column], x: float, stretch: float, scale: Scale) -> Card:
    places = []
    at = x + _PAD
    for column in columns:
        places.append(_place(column, at, _column_width(column, scale) + stretch, scale))
        at += places[-1].width
    return Card(name, x, at + _PAD - x, tuple(places))


def _place(column: Column, x: float, width: float, scale: Scale) -> Place:
    left = x + (width - sum(scale.width(s) for s in column.slabs)) / 2
    drawn = []
    for slab in column.slabs:
        drawn.append((slab, left, scale.width(slab), scale.height(slab)))
        left += drawn[-1][2]
    return Place(column, x, width, tuple(drawn))
