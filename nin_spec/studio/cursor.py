"""The position of the cursor in a YAML text, from the text before it, which may be incomplete."""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEY = re.compile(r"""(?P<key>[\w-]+)\s*:(?:\s+|$)""")
_LOOK_BACK = 2000
"""Number of lines above the cursor that are considered."""


@dataclass(frozen=True)
class Cursor:
    """The keys that lead to the cursor, without list items.

    `word` is the beginning of the next one. `is_value` is true if the cursor is at the value of the last key.
    """

    path: tuple[str, ...]
    word: str
    is_value: bool = False


def cursor_at(before: str) -> Cursor | None:
    """The position after `before`; None in a comment or a quoted text."""
    lines = before.split("\n")[-_LOOK_BACK:]
    line = lines[-1]
    if re.search(r"(^|\s)#|[\"']", line):
        return None
    column, rest = _unlisted(line)
    above = _above(lines[:-1], column)
    inner, rest = _flow(rest)
    word = re.search(r"[\w-]*$", rest)
    assert word is not None  # noqa: S101 it matches the empty text
    head = rest[: word.start()]
    key = _KEY.fullmatch(head.strip() + " ") if head.strip() else None
    if key and head[-1:] in {" ", "["}:
        return Cursor((*above, *inner, key["key"]), word[0], is_value=True)
    if head.strip():
        return None
    is_value = bool(inner) and _in_list(line)
    return Cursor((*above, *inner), word[0], is_value=is_value)


def _in_list(line: str) -> bool:
    """True if the innermost open bracket is a list's."""
    opened = _open_brackets(line)
    return bool(opened) and opened[-1][1] == "["


def _unlisted(line: str) -> tuple[int, str]:
    """The column where the content of a line begins, after `- `, and the content."""
    match = re.match(r"\s*(?:-\s+)*", line)
    assert match is not None  # noqa: S101 it matches the empty text
    return match.end(), line[match.end() :]


def _above(lines: list[str], column: int) -> tuple[str, ...]:
    """The keys of the lines above that contain the column."""
    found: list[str] = []
    for line in reversed(lines):
        start, content = _unlisted(line)
        key = _KEY.match(content)
        if not content or content.startswith("#") or key is None:
            continue
        if start < column:
            found.append(key["key"])
            column = start
        # A list may have the indentation of its key.
        dash = len(line) - len(line.lstrip())
        if line.lstrip().startswith("- ") and dash < column:
            column = dash + 1
    return tuple(reversed(found))


def _open_brackets(text: str) -> list[tuple[int, str]]:
    """The unclosed brackets, with their positions."""
    opened: list[tuple[int, str]] = []
    for index, character in enumerate(text):
        if character in "[{":
            opened.append((index, character))
        elif character in "]}" and opened:
            opened.pop()
    return opened


def _flow(content: str) -> tuple[tuple[str, ...], str]:
    """The keys that lead into the open brackets of a line, and the text after the last comma there."""
    keys: list[str] = []
    start = 0
    for index, _ in _open_brackets(content):
        last = re.search(r"([\w-]+)\s*:\s*$", content[start:index].rpartition(",")[2])
        keys += [last[1]] if last else []
        start = index + 1
    if not start:
        return (), content
    return tuple(keys), _outer(content[start:]).lstrip()


def _outer(text: str) -> str:
    """The text after the last comma outside closed brackets."""
    depth, start = 0, 0
    for index, character in enumerate(text):
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            start = index + 1
    return text[start:]
