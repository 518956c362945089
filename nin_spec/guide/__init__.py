"""The guides: one Markdown file per topic, shipped with the package and printed by `nin-spec guide`."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

TOPICS = (
    "language",
    "data",
    "training",
    "sweep",
    "evaluation",
    "clusters",
    "weights",
    "export",
    "precision",
    "devices",
    "explain",
    "serving",
    "import",
    "lint",
    "studio",
    "python",
    "benchmarks",
)
"""Every guide, in the order in which a newcomer meets them."""

_GUIDE_LINK = re.compile(r"\[([^\]]+)\]\([\w./-]+\.md(?:#[\w-]+)?\)")


def markdown(topic: str) -> str:
    """The text of the guide's file, with links to the other guides."""
    return (FOLDER / f"{topic}.md").read_text(encoding="utf-8")


def text(topic: str) -> str:
    """The guide for a terminal: a link to another file of the project is shown by its text alone."""
    return _GUIDE_LINK.sub(r"\1", markdown(topic))


def summary(topic: str) -> str:
    """The sentence under the title."""
    return markdown(topic).splitlines()[2]
