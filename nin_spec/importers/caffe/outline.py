"""The outline of a .prototxt: its fields and their positions, without their meaning.

One loop over the text, within limits, before the library's parser sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nin_spec.diagnostics import Code, ForeignModelError, Source, Span

MAX_DEPTH = 32
MAX_FIELDS = 50_000
MAX_LINE = 4096
"""Characters of a line: the library's parser takes time by the square of them."""
_TOKEN = re.compile(r"""\n|#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+|[^\s]""")
_NAME = re.compile(r"[A-Za-z_]\w*")
_OPENING, _CLOSING = frozenset("{<["), frozenset("}>]")


@dataclass
class Field:
    """A field of the text: its name, its position (from 1), its value where that is one token, and the fields in it."""

    name: str
    line: int = 1
    column: int = 1
    value: str = ""
    inside: list[Field] = field(default_factory=list)

    def span(self, source: Source) -> Span:
        """Its name in the text."""
        return Span(source, self.line, self.column, max(len(self.name), 1))


def check_lines(source: Source) -> None:
    """Raises ForeignModelError for a line that the library's parser would take minutes for."""
    for k, line in enumerate(source.text.split("\n"), 1):
        if len(line) > MAX_LINE:
            message = f"the line has {len(line):,} characters; the limit is {MAX_LINE:,}"
            raise ForeignModelError(Code.IMPORT, message, Span(source, k, 1))


def outline_of(source: Source) -> Field:
    """The fields of a text. Raises ForeignModelError where it nests too deeply."""
    last = here = root = Field("")
    scalar: Field | None = None
    stack = [root]
    count, line, start = 0, 1, 0
    for match in _TOKEN.finditer(source.text):
        text, column = match[0], match.start() - start + 1
        if text == "\n":
            line, start = line + 1, match.end()
        elif text in _OPENING or text == ":":
            if here.name:
                last = here
                stack[-1].inside.append(last)
                count += 1
            if text in _OPENING:
                stack.append(last)
            _check_limits(len(stack) - 1, count, Span(source, line, column))
        elif text in _CLOSING and len(stack) > 1:
            last = stack.pop()
        if text[0] not in "\n#":
            if scalar is not None and text not in _OPENING:
                scalar.value = text.strip("\"'")
            scalar = last if text == ":" else None
            here = Field(text if _NAME.fullmatch(text) else "", line, column)
    return root


def _check_limits(depth: int, fields: int, span: Span) -> None:
    """Raises ForeignModelError for a text that is nested too deep or too long."""
    if depth > MAX_DEPTH:
        raise ForeignModelError(Code.IMPORT, f"nested more than {MAX_DEPTH} levels deep", span)
    if fields > MAX_FIELDS:
        raise ForeignModelError(Code.IMPORT, f"more than {MAX_FIELDS:,} fields", span)
