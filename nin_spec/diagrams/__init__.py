"""A network as a picture: SVG, PDF, PNG and TikZ to scale, Mermaid and dot; and charts of its results.

columns.py    layers to columns, columns to groups
layout.py     positions of columns in rows of a given width
shapes.py     what a diagram is drawn with
drawing.py    positioned columns to shapes
palette.py    the colours
as_svg.py     shapes as SVG
as_tikz.py    shapes as TikZ
printed.py    the SVG as PDF and PNG
chains.py     the same columns as Mermaid and dot
forms.py      a diagram in each form, as a whole file
charts.py     trainings, evaluations and benches
contact_sheet.py  pictures side by side
overlay.py    curves of several runs
front.py      the candidates of a sweep
reliability.py  how far probabilities can be trusted
"""

from nin_spec.diagrams.as_svg import svg
from nin_spec.diagrams.as_tikz import tikz
from nin_spec.diagrams.chains import dot, mermaid
from nin_spec.diagrams.palette import colours

__all__ = ["colours", "dot", "mermaid", "svg", "tikz"]
