"""A diagram as SVG: for print in any viewer, light or dark in one that knows CSS variables. No scripts, stable bytes.

Colours are presentation attributes, the light ones. A style sheet within `@supports`, which viewers without CSS
variables ignore, sets them by class, so that dark mode and a page around the diagram can change them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_never

from nin_spec.diagrams.drawing import drawing_of
from nin_spec.diagrams.palette import LIGHT, colours
from nin_spec.diagrams.shapes import Band, Box, Drawing, Label, Rule, Shape

if TYPE_CHECKING:
    from nin_spec.diagrams.columns import Drawable

MARK = "<!-- Written by nin-spec -->"
_FONTS = "system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_HERE = ".nin-diagram"


def svg(network: Drawable, width: int = 1120) -> str:
    """The network to scale, about `width` pixels wide at most; the rest continues below.

    Each layer is a block: its height is linear in the rows of its maps, its width in the square root of its channels.
    The legend states the scale. The text is a complete SVG document that can be embedded in a page.
    """
    drawing = drawing_of(network, width)
    left, wide, high = number(-drawing.margin), number(drawing.width), number(drawing.height)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="nin-diagram" role="img" '
                f'viewBox="{left} {left} {wide} {high}" width="{wide}" height="{high}" '
                f'font-family="Helvetica, Arial, sans-serif" font-size="10">'
            ),
            MARK,
            f"<title>{escaped(drawing.title)}</title>",
            f"<desc>{escaped(drawing.description)}</desc>",
            f"<style>{_style(drawing)}</style>",
            f'<rect {_fill("ground")} x="{left}" y="{left}" width="{wide}" height="{high}"/>',
            *(_written(shape) for shape in drawing.shapes),
            "</svg>\n",
        ]
    )


def _style(drawing: Drawing) -> str:
    """The colours that occur as custom properties, scoped to the picture's class."""
    used = {shape.colour for shape in drawing.shapes}
    edged = {shape.colour for shape in drawing.shapes if isinstance(shape, Rule | Box) and _edge(shape)}
    fills = _rules("f", "fill", ["ground", *(c for c in LIGHT if c in used)])
    edges = _rules("s", "stroke", [c for c in LIGHT if c in edged])
    return (
        f"@supports (fill:var(--ink)){{{_HERE}{{{colours(dark=False)}font-family:{_FONTS}}}"
        f"@media screen and (prefers-color-scheme:dark){{{_HERE}{{{colours(dark=True)}}}}}"
        f"{_HERE} text{{font-variant-numeric:tabular-nums}}{fills}{edges}}}"
    )


def _rules(prefix: str, attribute: str, names: Iterable[str]) -> str:
    return "".join(f"{_HERE} .{prefix}-{name}{{{attribute}:var(--{name})}}" for name in names)


def _edge(shape: Rule | Box) -> float:
    return shape.edge if isinstance(shape, Box) else 1


def _written(shape: Shape) -> str:
    match shape:
        case Box():
            return _box(shape)
        case Band(points, colour, opacity):
            corners = " ".join(f"{number(x)},{number(y)}" for x, y in points)
            return f'<polygon {_fill(colour)} fill-opacity="{number(opacity)}" points="{corners}"/>'
        case Rule(lines, colour):
            path = "".join(f"M{number(a)} {number(b)}L{number(x)} {number(y)}" for (a, b), (x, y) in lines)
            return f'<path class="s-{colour}" fill="none" stroke="{LIGHT[colour]}" d="{path}"/>'
        case Label():
            return _label(shape)
        case _:
            assert_never(shape)


def _box(box: Box) -> str:
    place = f'x="{number(box.x)}" y="{number(box.y)}" width="{number(box.width)}" height="{number(box.height)}"'
    radius = f' rx="{number(box.radius)}"' if box.radius else ""
    edge = f' stroke="{LIGHT[box.colour]}" stroke-width="{number(box.edge)}"' if box.edge else ""
    end = f"><title>{escaped(box.title)}</title></rect>" if box.title else "/>"
    return f"<rect {_fill(box.colour, edged=bool(box.edge))} {place}{radius}{edge}{end}"


def _label(label: Label) -> str:
    weight = ' font-weight="bold"' if label.bold else ""
    size = ' font-size="12"' if label.large else ""
    anchor = ' text-anchor="middle"' if label.middle else ""
    place = f'x="{number(label.x)}" y="{number(label.y)}"'
    return f"<text {_fill(label.colour)} {place}{size}{weight}{anchor}>{escaped(label.text)}</text>"


def _fill(colour: str, *, edged: bool = False) -> str:
    """The class of a colour, by which a style sheet changes it, and the colour for print."""
    return f'class="f-{colour}{f" s-{colour}" if edged else ""}" fill="{LIGHT[colour]}"'


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
