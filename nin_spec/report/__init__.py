"""A network and its training as one self-contained HTML page.

page.py       renders the template templates/report.html.jinja, which escapes every text
about.py      a network's facts: totals, layers with their fractions, receptive fields, recipe, lint
results.py    a run's facts: data, curves, results, confusion
maps.py       class maps on pictures of the run
pieces.py     the drawings: receptive fields, curves, confusion, as SVG
reliability.py  the drawings of confidence
"""

from nin_spec.report.page import html

__all__ = ["html"]
