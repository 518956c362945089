"""How a notebook shows a result: as HTML that is escaped, needs no other file, and takes its colours from the page.

An object's `_repr_html_` calls `view` with the parts to show; templates/view.html.jinja lays them out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

LINES, WIDTH = 25, 100
"""The most lines of a `repr`, and their length: a screen."""
_MOST_ROWS = 200
"""The most rows of a table: a page with more is slow, and is not read."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below their headers; the columns in `right` have numbers."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[int] = ()
    caption: str = ""

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        """The first rows."""
        return self.rows[:_MOST_ROWS]

    @property
    def more(self) -> int:
        """How many rows are left out."""
        return len(self.rows) - len(self.shown)


@dataclass(frozen=True, slots=True)
class Facts:
    """Labelled values, one per line."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Code:
    """Text of fixed width."""

    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG of nin-spec, whose texts are already escaped."""

    svg: str

    @property
    def markup(self) -> Any:
        """The SVG as markup."""
        from markupsafe import Markup

        return Markup(self.svg)  # noqa: S704 see above


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, and what it shows, for who can't see it."""

    png: bytes
    alt: str

    @property
    def url(self) -> str:
        """The picture itself as a URL."""
        import base64

        return "data:image/png;base64," + base64.b64encode(self.png).decode()


Part = Table | Facts | Code | Drawing | Picture


def view(title: str, *parts: Part, about: str = "") -> str:
    """The HTML of a result: its title, a sentence about it, and its parts, one below the other."""
    from nin_spec.rendering import render

    kinds = [(type(part).__name__.lower(), part) for part in parts]
    return render("nin_spec.notebook", "view.html.jinja", {"title": title, "about": about, "parts": kinds}).decode()


def cut(lines: Sequence[str], more: str) -> str:
    """Lines as one screen at most: of longer ones the beginning, and how many are missing of what `more` names."""
    kept = lines if len(lines) <= LINES else lines[: LINES - 1]
    rest = [] if kept is lines else [f"... and {len(lines) - len(kept):,} more {more}"]
    return "\n".join([*(line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in kept), *rest])
