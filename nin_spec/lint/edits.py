"""Small edits of a text at known positions: everything else stays the same, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nin_spec.diagnostics import Source, Span
from nin_spec.language.document import Entry, Items, Node, Table, Value


class Unfixable(Exception):  # noqa: N818 not an error: it signals that a fix is not possible
    """The text can't be edited here: the value is in another file, or spelt in an unusual way."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the characters from `start` to `end` with `text`."""

    start: int
    end: int
    text: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit made; they do not overlap."""
    for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


@dataclass(frozen=True)
class Editor:
    """Makes edits in one source, and raises Unfixable for values in another."""

    source: Source

    def replace(self, span: Span, text: str) -> Edit:
        """Replace the scalar at `span`."""
        start = self._index(span)
        return Edit(start, start + span.length, text)

    def set_key(self, table: Table, key: str, text: str, after: str | None = None) -> Edit:
        """Set `key: text` in a mapping: replace a scalar, else insert after the key `after`, or the last one."""
        entry = table.entries.get(key)
        if entry is not None:
            if not isinstance(entry.node, Value):
                raise Unfixable
            return self.replace(entry.node.span, text)
        beside = table.entries[after] if after is not None else self._last(table)
        flow = self.source.text[self._index(table.span)] == "{"
        return self._beside(beside, f"{key}: {text}") if flow else self._below(beside, f"{key}: {text}")

    def _last(self, table: Table) -> Entry:
        """The last entry in this source; others come from the spec that it extends."""
        own = [e for e in table.entries.values() if e.key_span.source == self.source]
        if not own:
            raise Unfixable
        return max(own, key=lambda e: (e.key_span.line, e.key_span.column))

    def _beside(self, entry: Entry, text: str) -> Edit:
        """In flow style: after a scalar, before anything longer."""
        if isinstance(entry.node, Value):
            at = self._index(entry.node.span) + entry.node.span.length
            return Edit(at, at, f", {text}")
        at = self._index(entry.key_span)
        return Edit(at, at, f"{text}, ")

    def _below(self, entry: Entry, text: str) -> Edit:
        """In block style: a separate line below the entry, with the same indentation."""
        lines = self.source.text.splitlines(keepends=True)
        number = _last_line(entry.node)
        line = lines[number - 1]
        bare = line.rstrip("\r\n")
        at = sum(map(len, lines[: number - 1])) + len(bare)
        end = line[len(bare) :] or "\n"
        return Edit(at, at, end + " " * (entry.key_span.column - 1) + text)

    def _index(self, span: Span) -> int:
        """Where a span begins, in characters."""
        if span.source != self.source:
            raise Unfixable
        return index_of(self.source.text, span.line, span.column)


def index_of(text: str, line: int, column: int) -> int:
    """The index of a 1-based line and column."""
    return sum(map(len, text.splitlines(keepends=True)[: line - 1])) + column - 1


def _last_line(node: Node) -> int:
    """The last line on which something of a node begins."""
    match node:
        case Value():
            return node.span.line
        case Items():
            return max([node.span.line, *map(_last_line, node.items)])
        case Table():
            return max([node.span.line, *(_last_line(e.node) for e in node.entries.values())])
