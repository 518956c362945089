"""A network as a picture: SVG to scale, Mermaid and dot; and charts of its results.

columns.py    layers to columns, columns to groups
layout.py     positions of columns in rows of a given width
drawing.py    positioned columns to SVG
chains.py     the same columns as Mermaid and dot
charts.py     trainings, evaluations and benches
contact_sheet.py  pictures side by side
overlay.py    curves of several runs
front.py      the candidates of a sweep
reliability.py  how far probabilities can be trusted
"""

from nin_spec.diagrams.chains import dot, mermaid
from nin_spec.diagrams.drawing import colours, svg

__all__ = ["colours", "dot", "mermaid", "svg"]
