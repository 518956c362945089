r"""A diagram as TikZ, for a paper: `\input` it in a document that loads the package tikz.

One pixel is 0.75 bp, as in a browser: the default width, 640 pixels, is 482 pt, the text width of an A4 page. For
another one, put it into `\resizebox{\columnwidth}{!}{...}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nin_spec.diagrams.drawing import drawing_of
from nin_spec.diagrams.palette import LIGHT
from nin_spec.diagrams.shapes import Band, Box, Label, Point, Rule, Shape
from nin_spec.latex import escaped

if TYPE_CHECKING:
    from nin_spec.diagrams.columns import Drawable


def tikz(network: Drawable, width: int = 640) -> str:
    """The network to scale as a `tikzpicture`, about `width` pixels wide at most, in the colours of the light SVG."""
    drawing = drawing_of(network, width)
    ground = {"ground", *(shape.colour for shape in drawing.shapes)}
    left, right, end = -drawing.margin, drawing.width - drawing.margin, drawing.height - drawing.margin
    return "\n".join(
        [
            "% Written by nin-spec. It needs \\usepackage{tikz}.",
            *(f"\\definecolor{{nin-{name}}}{{HTML}}{{{LIGHT[name][1:].upper()}}}" for name in LIGHT if name in ground),
            "\\begin{tikzpicture}[x=0.75bp, y=-0.75bp, inner sep=0pt, outer sep=0pt, font=\\sffamily\\scriptsize]",
            f"  \\fill[nin-ground] {_point((left, left))} rectangle {_point((right, end))};",
            *(f"  {_written(shape)};" for shape in drawing.shapes),
            "\\end{tikzpicture}\n",
        ]
    )


def _written(shape: Shape) -> str:
    match shape:
        case Box(colour, x, y, width, height, radius, edge):
            options = [f"nin-{colour}"]
            options += [f"rounded corners={0.75 * radius:.4g}bp"] if radius else []
            options += [f"line width={0.75 * edge:.4g}bp"] if edge else []
            word = "filldraw" if edge else "fill"
            return f"\\{word}[{', '.join(options)}] {_point((x, y))} rectangle {_point((x + width, y + height))}"
        case Band(points, colour, opacity):
            return f"\\fill[nin-{colour}, fill opacity={opacity:g}] {' -- '.join(map(_point, points))} -- cycle"
        case Rule(lines, colour):
            path = " ".join(f"{_point(a)} -- {_point(b)}" for a, b in lines)
            return f"\\draw[nin-{colour}, line width=0.75bp] {path}"
        case Label():
            return _label(shape)
        case _:
            assert_never(shape)


def _label(label: Label) -> str:
    font = ("\\footnotesize" if label.large else "") + ("\\bfseries" if label.bold else "")
    text = f"{{{font} {escaped(label.text)}}}" if font else f"{{{escaped(label.text)}}}"
    anchor = "base" if label.middle else "base west"
    return f"\\node[anchor={anchor}, text=nin-{label.colour}] at {_point((label.x, label.y))} {text}"


def _point(point: Point) -> str:
    """Two decimals of a pixel: TeX knows no exponents."""
    x, y = (f"{value:.2f}" for value in point)
    return f"({x}, {y})"
