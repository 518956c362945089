"""What a diagram is drawn with: boxes, bands, rules and labels, in CSS pixels from the top left, y downwards.

Each names its colour in `palette.py`; a form of diagram (SVG, TikZ) states how each is written.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, filled and edged by a line of `edge` pixels in its own colour; `title` explains it."""

    colour: str
    x: float
    y: float
    width: float
    height: float
    radius: float = 0
    edge: float = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """The maps between two columns: a filled quadrangle, a little transparent."""

    points: tuple[Point, ...]
    colour: str = "line"
    opacity: float = 0.55


@dataclass(frozen=True, slots=True)
class Rule:
    """Lines of one pixel, each from one point to another."""

    lines: tuple[tuple[Point, Point], ...]
    colour: str = "soft"


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text on its base line, which starts at `x` or has its middle there."""

    colour: str
    x: float
    y: float
    text: str
    bold: bool = False
    large: bool = False
    middle: bool = False


Shape = Box | Band | Rule | Label


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes on a ground from (-margin, -margin), which is `width` by `height`, with a title and a description."""

    title: str
    description: str
    margin: float
    width: float
    height: float
    shapes: tuple[Shape, ...]
