"""The network as SVG, drawn to scale: light, dark or for print, without scripts, with deterministic bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from nin_spec.diagrams.columns import FAMILIES, Drawable, Group, groups_of
from nin_spec.diagrams.layout import LINE, Card, Place, Row, Scale, lines_of, rows_of, scale_of

_LIGHT = {
    "ground": "#ffffff",
    "card": "#f4f6f9",
    "ink": "#1c2430",
    "soft": "#5b6675",
    "line": "#d5dbe4",
    "input": "#8d99a8",
    "conv": "#0067b0",
    "mix": "#58aee6",
    "pool": "#e08a00",
    "dense": "#3b3f8f",
    "flat": "#8d99a8",
    "norm": "#a44a86",
    "activation": "#00815f",
    "dropout": "#6b7480",
    "shuffle": "#8a6d1d",
    "output": "#b3403a",
}
_DARK = {
    "ground": "#11161d",
    "card": "#1a212b",
    "ink": "#e3e8ef",
    "soft": "#9aa6b5",
    "line": "#36404d",
    "input": "#76828f",
    "conv": "#3d94db",
    "mix": "#8fcbf2",
    "pool": "#f0ab3c",
    "dense": "#9498f2",
    "flat": "#76828f",
    "norm": "#dd8cc1",
    "activation": "#3fc79d",
    "dropout": "#9aa6b5",
    "shuffle": "#d3b45a",
    "output": "#f08a82",
}
"""Okabe and Ito's hues; each family also differs from its neighbours in lightness."""

MARGIN = 10
MARK = "<!-- Written by nin-spec -->"


def svg(network: Drawable, width: int = 1120) -> str:
    """The network to scale, about `width` pixels wide at most; the rest continues below.

    Each layer is a block: its height is linear in the rows of its maps, its width in the square root of its channels.
    The legend states the scale. The text is a complete SVG document that can be embedded in a page.
    """
    groups = groups_of(network)
    scale = scale_of(groups, width)
    rows = rows_of(groups, width - 2 * MARGIN, scale)
    legend, end = _legend(groups, scale, rows[-1].bottom + 26, width - 2 * MARGIN)
    wide = max(width - 2 * MARGIN, *(r.cards[-1].x + r.cards[-1].width for r in rows)) + 2 * MARGIN
    body = [line for row in rows for line in _row(row)]
    high = end + 2 * MARGIN
    box = f"{-MARGIN} {-MARGIN} {number(wide)} {number(high)}"
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="nin-diagram" role="img" viewBox="{box}" '
                f'width="{number(wide)}" height="{number(high)}">'
            ),
            MARK,
            f"<title>{escaped(network.graph.name)}, drawn to scale</title>",
            f"<desc>{escaped(_described(network, groups))}</desc>",
            f"<style>{_style()}</style>",
            f'<rect class="ground" x="{-MARGIN}" y="{-MARGIN}" width="100%" height="100%"/>',
            *body,
            *legend,
            "</svg>\n",
        ]
    )


def _described(network: Drawable, groups: Sequence[Group]) -> str:
    """A text description of the picture."""
    told = [", ".join(f"{c.head or c.slabs[0].word} to {c.shape}" for c in g.columns) for g in groups[1:]]
    blocks = "; ".join(f"{g.name}: {text}" for g, text in zip(groups[1:], told, strict=True))
    return f"Input {groups[0].columns[0].shape}; {blocks}. {network.table.parameters:,} parameters."


def _style() -> str:
    """Colours by family as custom properties, scoped to the picture's class."""
    here = ".nin-diagram"
    fills = "".join(
        f"{here} .{f}{{fill:var(--{f});stroke:var(--{f})}}{here} .t-{f}{{fill:var(--{f})}}" for f in FAMILIES
    )
    return (
        f"{here}{{{_colours(_LIGHT)}font:10px system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}}"
        f"@media screen and (prefers-color-scheme:dark){{{here}{{{_colours(_DARK)}}}}}"
        f"{here} text{{fill:var(--soft);font-variant-numeric:tabular-nums}}"
        f"{here} .name,{here} .head{{fill:var(--ink);font-weight:600}}{here} .name{{font-size:12px}}"
        f"{here} .shape{{fill:var(--ink)}}"
        f"{here} .ground{{fill:var(--ground)}}{here} .card{{fill:var(--card)}}"
        f"{here} .body{{fill:var(--line);opacity:.55}}"
        f"{here} .bar{{stroke:var(--soft);fill:none}}{fills}"
    )


def colours(*, dark: bool) -> str:
    """The declarations of a diagram's colours, for a page with its own light and dark modes."""
    return _colours(_DARK if dark else _LIGHT)


def _colours(palette: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in palette.items())


# ------------------------------------------------------------------ rows


def _row(row: Row) -> Iterator[str]:
    """The cards, the connections between columns, the columns, and the texts."""
    places = [place for card in row.cards for place in card.places]
    for card in row.cards:
        yield from _card(card, row)
    for before, after in pairwise(places):
        yield _between(before, after, row.axis)
    for place in places:
        yield from _slabs(place, row.axis)
        yield from _lines(place, row.text)


def _card(card: Card, row: Row) -> Iterator[str]:
    room = max(1, int((card.width - 20) / 8))
    name = card.name if len(card.name) <= room else f"{card.name[: room - 1]}…"
    high = row.bottom - row.top
    yield f'<rect class="card" x="{number(card.x)}" y="{number(row.top)}" {_size(card.width, high)} rx="6"/>'
    yield _text("name", card.x + 10, row.top + 17, name)


def _between(before: Place, after: Place, axis: float) -> str:
    """The maps between two columns, narrowing from one's height to the other's."""
    (_, x, width, high), (_, right, _, low) = before.drawn[-1], after.drawn[0]
    left = x + width
    corners = [(left, axis - high / 2), (right, axis - low / 2), (right, axis + low / 2), (left, axis + high / 2)]
    return f'<polygon class="body" points="{" ".join(f"{number(a)},{number(b)}" for a, b in corners)}"/>'


def _slabs(place: Place, axis: float) -> Iterator[str]:
    """Each layer, with its full title as a tooltip; a hairline keeps the smallest visible."""
    for slab, x, width, high in place.drawn:
        yield (
            f'<rect class="{slab.family}" x="{number(x)}" y="{number(axis - high / 2)}" {_size(width, high)} '
            f'stroke-width=".8"><title>{escaped(slab.title)}</title></rect>'
        )


def _lines(place: Place, y: float) -> Iterator[str]:
    for k, (kind, text) in enumerate(lines_of(place.column)):
        style = f"t-{kind}" if kind in FAMILIES else kind
        yield _text(style, place.middle, y + k * LINE, text, anchor="middle")


# ------------------------------------------------------------------ legend


def _legend(groups: Sequence[Group], scale: Scale, top: float, width: float) -> tuple[list[str], float]:
    """The families that occur and the scale; returns the end of the legend, too."""
    there = {s.family for g in groups for c in g.columns for s in c.slabs}
    lines: list[str] = []
    x, y = 0.0, top
    for family in (f for f in FAMILIES if f in there):
        needed = 17 + 6.4 * len(FAMILIES[family]) + 14
        if x + needed > width:
            x, y = 0.0, y + 20
        lines.append(f'<rect class="{family}" x="{number(x + 1)}" y="{number(y - 9)}" width="10" height="10"/>')
        lines.append(_text("", x + 17, y, FAMILIES[family]))
        x += needed
    scale_lines, end = _scale(groups, scale, y + 26)
    return lines + scale_lines, end


def _scale(groups: Sequence[Group], scale: Scale, y: float) -> tuple[list[str], float]:
    """A bar for a number of rows and one for a number of channels, with the rule of each."""
    slabs = [s for g in groups for c in g.columns for s in c.slabs]
    rows = round_below(max(1, min(30 / scale.row, max(s.rows for s in slabs))))
    channels = round_below(max(s.channels for s in slabs))
    high, wide = scale.row * rows, scale.root * channels**0.5
    middle = y + high / 2
    lines = [
        f'<path class="bar" d="M1 {number(y)}h8m-4 0v{number(high)}m-4 0h8"/>',
        _text("", 17, middle + 4, f"height: {rows} {'row' if rows == 1 else 'rows'} of a map, linear"),
        f'<path class="bar" d="M1 {number(y + high + 18)}v8m0 -4h{number(wide)}m0 -4v8"/>',
        _text("", wide + 9, y + high + 26, f"width: {channels} channels, by the square root"),
    ]
    return lines, y + high + 30


def round_below(value: float) -> int:
    """The largest power of two not above a value."""
    return 1 << (int(value).bit_length() - 1)


# ------------------------------------------------------------------ pieces


def _text(style: str, x: float, y: float, text: str, *, anchor: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{kind} x="{number(x)}" y="{number(y)}"{place}>{escaped(text)}</text>'


def _size(width: float, height: float) -> str:
    return f'width="{number(width)}" height="{number(height)}"'


def number(value: float) -> str:
    """Six digits, enough for ratios and stable bytes."""
    return f"{value:.6g}"


def escaped(text: str) -> str:
    """Text escaped for XML; characters that XML forbids are replaced."""
    from xml.sax.saxutils import escape

    legal = "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "�" for c in text
    )
    return escape(legal, {'"': "&quot;"})
