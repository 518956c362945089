"""A network, and what training made of it, as one HTML page that fetches nothing.

page.py       the facts into the template report.html.jinja, which escapes every text
about.py      a network's facts: totals, layers with their shares, receptive fields, recipe, lint
results.py    a run's: what it was trained on, curves, results, confusion
pieces.py     the drawings: receptive fields, curves, confusion, as SVG
"""

from nin_spec.report.page import html

__all__ = ["html"]
