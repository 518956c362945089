"""Text in LaTeX: nothing that a person writes is a command."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from nin_spec.latex import escaped

COMMAND = re.compile(r"\\text[a-z]+\{\}|\\dots\{\}|''|\$\\times\$|\\[{}$&#_%]")


@given(st.text())
def test_no_character_has_a_meaning(text: str) -> None:
    """Without the escapes, none of the characters that mean something to TeX is left, and no control character."""
    rest = COMMAND.sub("", escaped(text))
    assert not set(rest) & set('\\{}$&#_%~^<>|"')
    assert rest.isprintable()


def test_what_is_written_is_shown() -> None:
    """Each special character by its own escape, other letters as they are."""
    assert escaped("50% of a_b, 3×3 é") == r"50\% of a\_b, 3$\times$3 é"
    assert escaped("\\x^~") == r"\textbackslash{}x\textasciicircum{}\textasciitilde{}"
