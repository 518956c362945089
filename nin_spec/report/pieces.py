"""The page's drawings as SVG: receptive fields on the input, curves by epoch, the confusion of classes.

Colours come from the page's custom properties, so that they follow its light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nin_spec.diagrams.as_svg import escaped, number

if TYPE_CHECKING:
    from nin_spec.ir.types import Pair
    from nin_spec.report.about import Field
    from nin_spec.training.evaluated import Evaluated

SIDE = 320.0
COUNTED = 20
"""Most classes for which counts are written into the cells."""
DRAWN = 200
"""Most classes for which a cell is visible."""


def open_svg(title: str, width: float, height: float) -> str:
    """The start of a drawing."""
    box = f"0 0 {number(width)} {number(height)}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{box}"><title>{escaped(title)}</title>'


# ------------------------------------------------------------------ receptive fields


def fields_svg(shape: Pair, fields: Sequence[Field]) -> str:
    """The fields as nested rectangles around the centre of the input, to scale; the largest fills the picture."""
    extents = [shape, *(f.extent for f in fields)]
    scale = (SIDE - 4) / max(max(e) for e in extents)
    lines = [open_svg(f"Receptive fields on an input of {shape[0]}×{shape[1]}, to scale", SIDE, SIDE)]
    lines.append(_rectangle("input-area", shape, scale, f"the input, {shape[0]}×{shape[1]}"))
    for k, field in reversed(list(enumerate(fields))):
        lines.append(_rectangle(f"field f{k % 8}", field.extent, scale, f"{field.name}: {field.size}"))
    return "\n".join([*lines, "</svg>"])


def _rectangle(style: str, extent: Pair, scale: float, title: str) -> str:
    high, wide = extent[0] * scale, extent[1] * scale
    place = f'x="{number((SIDE - wide) / 2)}" y="{number((SIDE - high) / 2)}"'
    size = f'width="{number(wide)}" height="{number(high)}"'
    return f'<rect class="{style}" {place} {size}><title>{escaped(title)}</title></rect>'


# ------------------------------------------------------------------ curves

Points = Sequence[tuple[float, float]]
"""Epochs and values."""

_WIDE, _HIGH = 360.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 26.0, 30.0


def curves_svg(rows: Sequence[dict[str, float]], quantity: str, chosen: int | None) -> str:
    """One quantity by epoch, in training and on held-out pictures; a line marks the chosen epoch."""
    there = {key for row in rows for key in row}
    named = (f"train_{quantity}", f"validation_{quantity}", f"test_{quantity}", quantity)
    keys = [key for key in named if key in there]
    points = {key: [(r["epoch"], r[key]) for r in rows if math.isfinite(r.get(key, math.nan))] for key in keys}
    values = [y for line in points.values() for _, y in line]
    if not values:
        return ""
    percent = quantity == "accuracy"
    ticks = steps(0.0 if percent or quantity == "lr" else min(values), max(values))
    span = (min(r["epoch"] for r in rows), max(r["epoch"] for r in rows))
    lines = [open_svg(f"{quantity} by epoch", _WIDE, _HIGH), *_grid(ticks, span, percent=percent)]
    if chosen is not None:
        x = number(_x(chosen, span))
        lines.append(f'<line class="chosen" x1="{x}" x2="{x}" y1="{number(_TOP)}" y2="{number(_HIGH - _BOTTOM)}"/>')
    for k, key in enumerate(keys):
        lines += _curve(points[key], span, ticks, "train" if key.startswith("train") or key == quantity else "held")
        lines += _key(k, key.removesuffix(f"_{quantity}"), points[key], percent=percent)
    return "\n".join([*lines, "</svg>"])


def steps(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from below `low` to above `high`, about `count` apart."""
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / count))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= span / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * k for k in range(first, max(last, first + 1) + 1)]


def _x(epoch: float, span: tuple[float, float]) -> float:
    share = (epoch - span[0]) / ((span[1] - span[0]) or 1)
    return _LEFT + share * (_WIDE - _LEFT - _RIGHT)


def _y(value: float, ticks: Sequence[float]) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return _HIGH - _BOTTOM - share * (_HIGH - _TOP - _BOTTOM)


def _grid(ticks: Sequence[float], span: tuple[float, float], *, percent: bool) -> Iterator[str]:
    for tick in ticks:
        y = number(_y(tick, ticks))
        text = f"{tick:.0%}" if percent and ticks[1] - ticks[0] >= 0.0099 else f"{tick:.1%}" if percent else f"{tick:g}"
        yield f'<line class="grid" x1="{number(_LEFT)}" x2="{number(_WIDE - _RIGHT)}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{number(_LEFT - 6)}" y="{y}" dy=".35em" text-anchor="end">{text}</text>'
    for epoch, anchor in {span[0]: "start", span[1]: "end"}.items():
        place = f'x="{number(_x(epoch, span))}" y="{number(_HIGH - 10)}"'
        yield f'<text {place} text-anchor="{anchor}">epoch {epoch:g}</text>'


def _curve(points: Points, span: tuple[float, float], ticks: Sequence[float], style: str) -> Iterator[str]:
    places = [(number(_x(a, span)), number(_y(b, ticks))) for a, b in points]
    if len(places) == 1:
        yield f'<circle class="{style} dot" cx="{places[0][0]}" cy="{places[0][1]}" r="3"/>'
    else:
        yield f'<polyline class="{style}" points="{" ".join(",".join(p) for p in places)}"/>'


def _key(place: int, name: str, points: Points, *, percent: bool) -> Iterator[str]:
    """The name of a curve with its last value, above the picture."""
    if not points:
        return
    last = f"{points[-1][1]:.2%}" if percent else f"{points[-1][1]:.4g}"
    x = _LEFT + place * 150
    style = "train" if name in ("train", "lr") else "held"
    yield f'<line class="{style}" x1="{number(x)}" x2="{number(x + 16)}" y1="10" y2="10"/>'
    yield f'<text class="key" x="{number(x + 21)}" y="14">{escaped(name)} {last}</text>'


# ------------------------------------------------------------------ confusion


def confusion_svg(found: Evaluated) -> str:
    """Each cell shaded by its fraction of the row, with true classes as rows; empty for too many classes."""
    count = len(found.classes)
    if count > DRAWN:
        return ""
    counted = count <= COUNTED
    side = 24.0 if counted else max(2.0, 480 / count)
    names = [_clip(name) for name in found.classes] if counted else []
    left = 14 + 6.2 * max(map(len, names), default=0) + 6
    width, height = left + side * count + 2, left + side * count + 2
    lines = [open_svg(f"Confusion of {count} classes, a row per true class", width, height)]
    lines.append(f'<rect class="cells" x="{number(left)}" y="{number(left)}" {_square(side * count)}/>')
    for i, row in enumerate(found.confusion):
        lines += _cells(row, left, left + i * side, side, counted=counted)
    lines += _names(names, left, side)
    middle = number(left + side * count / 2)
    lines.append(f'<text x="{middle}" y="10" text-anchor="middle">predicted</text>')
    lines.append(f'<text transform="translate(10 {middle}) rotate(-90)" text-anchor="middle">true</text>')
    return "\n".join([*lines, "</svg>"])


def _square(side: float) -> str:
    return f'width="{number(side)}" height="{number(side)}"'


def _cells(row: Sequence[int], left: float, y: float, side: float, *, counted: bool) -> Iterator[str]:
    total = sum(row) or 1
    for j, count in enumerate(row):
        if not count:
            continue
        share, x = count / total, left + j * side
        shade = number(0.08 + 0.92 * math.sqrt(share))
        yield f'<rect class="cell" x="{number(x)}" y="{number(y)}" {_square(side)} fill-opacity="{shade}"/>'
        if counted:
            style = "count strong" if share > 0.25 else "count"
            place = f'x="{number(x + side / 2)}" y="{number(y + side / 2)}"'
            size = ' font-size="7"' if count >= 10_000 else ""
            yield f'<text class="{style}" {place} dy=".35em" text-anchor="middle"{size}>{count}</text>'


def _names(names: Sequence[str], left: float, side: float) -> Iterator[str]:
    for k, name in enumerate(names):
        middle = number(left + (k + 0.5) * side)
        edge = number(left - 5)
        yield f'<text x="{edge}" y="{middle}" dy=".35em" text-anchor="end">{escaped(name)}</text>'
        yield f'<text transform="translate({middle} {edge}) rotate(-90)" dy=".35em">{escaped(name)}</text>'


def _clip(text: str, limit: int = 16) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
