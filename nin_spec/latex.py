"""Text in LaTeX."""

from __future__ import annotations

_MARKS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "…": r"\dots{}",
    **{mark: f"\\{mark}" for mark in "{}$&#_%"},
}


def escaped(text: str) -> str:
    """Text as a LaTeX document shows it; control characters become spaces.

    Letters beyond ASCII stay as they are: pdflatex has the Latin ones, xelatex and lualatex those of their fonts.
    """
    return "".join(_MARKS.get(c, c if c.isprintable() else " ") for c in text)
