"""Small changes of a text at known places: everything else stays as it is, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nin_spec.diagnostics import Source, Span
from nin_spec.language.document import Entry, Items, Node, Table, Value


class Unfixable(Exception):  # noqa: N818 no error: it says that a fix is not to be had
    """The text does not let itself be changed here: another file says it, or it is spelt in an unusual way."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` in place of the characters from `start` to `end`."""

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
    """Makes edits of one source, and refuses what stands in another."""

    source: Source

    def replace(self, span: Span, text: str) -> Edit:
        """The scalar at `span` anew."""
        start = self._index(span)
        return Edit(start, start + span.length, text)

    def say(self, table: Table, key: str, text: str, after: str | None = None) -> Edit:
        """`key: text` in a mapping: in place of a scalar there, else behind the key `after`, or the last one."""
        entry = table.entries.get(key)
        if entry is not None:
            if not isinstance(entry.node, Value):
                raise Unfixable
            return self.replace(entry.node.span, text)
        beside = table.entries[after] if after is not None else self._last(table)
        flow = self.source.text[self._index(table.span)] == "{"
        return self._beside(beside, f"{key}: {text}") if flow else self._below(beside, f"{key}: {text}")

    def _last(self, table: Table) -> Entry:
        """The last entry that stands in this text: others came with what the spec extends."""
        own = [e for e in table.entries.values() if e.key_span.source == self.source]
        if not own:
            raise Unfixable
        return max(own, key=lambda e: (e.key_span.line, e.key_span.column))

    def _beside(self, entry: Entry, text: str) -> Edit:
        """In flow style: behind a scalar, before anything longer."""
        if isinstance(entry.node, Value):
            at = self._index(entry.node.span) + entry.node.span.length
            return Edit(at, at, f", {text}")
        at = self._index(entry.key_span)
        return Edit(at, at, f"{text}, ")

    def _below(self, entry: Entry, text: str) -> Edit:
        """In block style: a line of its own below the entry, indented alike."""
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
