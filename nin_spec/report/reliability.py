"""The page's drawings of confidence as SVG: the reliability diagram and the risk-coverage curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nin_spec.diagrams.as_svg import number
from nin_spec.report.pieces import open_svg, steps

if TYPE_CHECKING:
    from nin_spec.training.evaluated import Bin, Confidence, Point

_WIDE, _HIGH = 360.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 12.0, 40.0
_COUNTS = 26.0
"""Height of the row that shows in which bins the pictures are."""


def reliability_svg(found: Confidence) -> str:
    """Accuracy by confidence, with the mean confidence of each bin as a dot; below it where the pictures are."""
    most = max(b.images for b in found.bins) or 1
    filled = [b for b in found.bins if b.images]
    lines = [open_svg("Accuracy by confidence, in bins of equal width", _WIDE, _HIGH + _COUNTS)]
    lines += _grid([0, 0.25, 0.5, 0.75, 1], 1.0)
    lines.append(f'<line class="chosen" x1="{_at(0)}" y1="{_up(0, 1)}" x2="{_at(1)}" y2="{_up(1, 1)}"/>')
    for b in filled:
        lines += _bar(b, b.images / most)
    lines.append(_label("confidence"))
    return "\n".join([*lines, "</svg>"])


def _bar(b: Bin, share: float) -> Iterator[str]:
    x, width = _at(b.low), number((b.high - b.low) * (_WIDE - _LEFT - _RIGHT) - 1)
    accuracy, confidence = b.accuracy or 0.0, b.confidence or 0.0
    title = f"<title>{b.images:,} pictures: confidence {confidence:.1%}, accuracy {accuracy:.1%}</title>"
    high = accuracy * (_HIGH - _TOP - _BOTTOM)
    yield f'<rect class="bin" x="{x}" y="{_up(accuracy, 1)}" width="{width}" height="{number(high)}">{title}</rect>'
    yield f'<circle class="held dot" cx="{_at(confidence)}" cy="{_up(confidence, 1)}" r="3"/>'
    below, tall = _HIGH + _COUNTS, share * _COUNTS
    yield f'<rect class="count-bar" x="{x}" y="{number(below - tall)}" width="{width}" height="{number(tall)}"/>'


def risk_svg(curve: Sequence[Point]) -> str:
    """The errors if only the surest pictures are answered, by their fraction of all."""
    ticks = steps(0.0, max(p.risk for p in curve))
    lines = [open_svg("Errors if only the surest pictures are answered", _WIDE, _HIGH), *_grid(ticks, ticks[-1])]
    points = " ".join(f"{_at(p.coverage)},{_up(p.risk, ticks[-1])}" for p in curve)
    lines.append(f'<polyline class="train" points="{points}"/>')
    lines.append(_label("pictures answered"))
    return "\n".join([*lines, "</svg>"])


def _grid(ticks: Sequence[float], top: float) -> Iterator[str]:
    for tick in ticks:
        text = f"{tick:.0%}" if len(ticks) < 2 or ticks[1] - ticks[0] >= 0.0099 else f"{tick:.2%}"
        yield f'<line class="grid" x1="{_at(0)}" x2="{_at(1)}" y1="{_up(tick, top)}" y2="{_up(tick, top)}"/>'
        yield f'<text x="{number(_LEFT - 6)}" y="{_up(tick, top)}" dy=".35em" text-anchor="end">{text}</text>'
    for share in (0.0, 0.5, 1.0):
        place = f'x="{_at(share)}" y="{number(_HIGH - _BOTTOM + 15)}"'
        yield f'<text {place} text-anchor="{"end" if share == 1 else "middle"}">{share:.0%}</text>'


def _label(text: str) -> str:
    return f'<text x="{_at(0.5)}" y="{number(_HIGH - _BOTTOM + 30)}" text-anchor="middle">{text}</text>'


def _at(share: float) -> str:
    return number(_LEFT + share * (_WIDE - _LEFT - _RIGHT))


def _up(value: float, top: float) -> str:
    return number(_HIGH - _BOTTOM - value / top * (_HIGH - _TOP - _BOTTOM))
