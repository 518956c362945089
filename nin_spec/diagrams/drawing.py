"""The network to scale, as shapes: a block per layer, cards around the blocks of the spec, a legend with the scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from nin_spec.diagrams.columns import FAMILIES, Drawable, Group, groups_of
from nin_spec.diagrams.layout import LINE, Card, Place, Row, Scale, lines_of, rows_of, scale_of
from nin_spec.diagrams.shapes import Band, Box, Drawing, Label, Rule, Shape

MARGIN = 10


def drawing_of(network: Drawable, width: int) -> Drawing:
    """The network, about `width` pixels wide at most; the rest continues below.

    Each layer is a block: its height is linear in the rows of its maps, its width in the square root of its channels.
    The legend states the scale.
    """
    groups = groups_of(network)
    room = width - 2 * MARGIN
    scale = scale_of(groups, width)
    rows = rows_of(groups, room, scale)
    legend, end = _legend(groups, scale, rows[-1].bottom + 26, room)
    wide = max(room, *(r.cards[-1].x + r.cards[-1].width for r in rows)) + 2 * MARGIN
    return Drawing(
        f"{network.graph.name}, drawn to scale",
        _described(network, groups),
        MARGIN,
        wide,
        end + 2 * MARGIN,
        (*(shape for row in rows for shape in _row(row)), *legend),
    )


def _described(network: Drawable, groups: Sequence[Group]) -> str:
    """A text description of the picture."""
    told = [", ".join(f"{c.head or c.slabs[0].word} to {c.shape}" for c in g.columns) for g in groups[1:]]
    blocks = "; ".join(f"{g.name}: {text}" for g, text in zip(groups[1:], told, strict=True))
    return f"Input {groups[0].columns[0].shape}; {blocks}. {network.table.parameters:,} parameters."


# ------------------------------------------------------------------ rows


def _row(row: Row) -> Iterator[Shape]:
    """The cards, the connections between columns, the columns, and the texts."""
    places = [place for card in row.cards for place in card.places]
    for card in row.cards:
        yield from _card(card, row)
    for before, after in pairwise(places):
        yield _between(before, after, row.axis)
    for place in places:
        yield from _slabs(place, row.axis)
        yield from _lines(place, row.text)


def _card(card: Card, row: Row) -> Iterator[Shape]:
    room = max(1, int((card.width - 20) / 8))
    name = card.name if len(card.name) <= room else f"{card.name[: room - 1]}…"
    yield Box("card", card.x, row.top, card.width, row.bottom - row.top, radius=6)
    yield Label("ink", card.x + 10, row.top + 17, name, bold=True, large=True)


def _between(before: Place, after: Place, axis: float) -> Band:
    """The maps between two columns, narrowing from one's height to the other's."""
    (_, x, width, high), (_, right, _, low) = before.drawn[-1], after.drawn[0]
    left = x + width
    return Band(
        ((left, axis - high / 2), (right, axis - low / 2), (right, axis + low / 2), (left, axis + high / 2)),
    )


def _slabs(place: Place, axis: float) -> Iterator[Box]:
    """Each layer, with its full title as a tooltip; a hairline keeps the smallest visible."""
    for slab, x, width, high in place.drawn:
        yield Box(slab.family, x, axis - high / 2, width, high, edge=0.8, title=slab.title)


def _lines(place: Place, y: float) -> Iterator[Label]:
    for k, (kind, text) in enumerate(lines_of(place.column)):
        colour = kind if kind in FAMILIES else {"head": "ink", "shape": "ink"}.get(kind, "soft")
        yield Label(colour, place.middle, y + k * LINE, text, bold=kind == "head", middle=True)


# ------------------------------------------------------------------ legend


def _legend(groups: Sequence[Group], scale: Scale, top: float, width: float) -> tuple[list[Shape], float]:
    """The families that occur and the scale; returns the end of the legend, too."""
    there = {s.family for g in groups for c in g.columns for s in c.slabs}
    shapes: list[Shape] = []
    x, y = 0.0, top
    for family in (f for f in FAMILIES if f in there):
        needed = 17 + 6.4 * len(FAMILIES[family]) + 14
        if x + needed > width:
            x, y = 0.0, y + 20
        shapes.append(Box(family, x + 1, y - 9, 10, 10, edge=1))
        shapes.append(Label("soft", x + 17, y, FAMILIES[family]))
        x += needed
    scale_shapes, end = _scale(groups, scale, y + 26)
    return shapes + scale_shapes, end


def _scale(groups: Sequence[Group], scale: Scale, y: float) -> tuple[list[Shape], float]:
    """A bar for a number of rows and one for a number of channels, with the rule of each."""
    slabs = [s for g in groups for c in g.columns for s in c.slabs]
    rows = round_below(max(1, min(30 / scale.row, max(s.rows for s in slabs))))
    channels = round_below(max(s.channels for s in slabs))
    high, wide = scale.row * rows, scale.root * channels**0.5
    under = y + high + 22
    shapes: list[Shape] = [
        Rule((((1, y), (9, y)), ((5, y), (5, y + high)), ((1, y + high), (9, y + high)))),
        Label("soft", 17, y + high / 2 + 4, f"height: {rows} {'row' if rows == 1 else 'rows'} of a map, linear"),
        Rule(
            (
                ((1, under - 4), (1, under + 4)),
                ((1, under), (1 + wide, under)),
                ((1 + wide, under - 4), (1 + wide, under + 4)),
            )
        ),
        Label("soft", wide + 9, under + 4, f"width: {channels} channels, by the square root"),
    ]
    return shapes, y + high + 30


def round_below(value: float) -> int:
    """The largest power of two not above a value."""
    return 1 << (int(value).bit_length() - 1)
