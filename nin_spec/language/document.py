"""Text to nodes: YAML as plain data with a span for every key and value.

YAML is read event by event, never constructed: no tags, no merge keys, no code, bounded depth and
size. Plain scalars follow the YAML 1.2 core schema, so `yes` is a word and `1e-4` a number.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nin_spec.diagnostics import MAX_FINDINGS, Code, Diagnostic, Source, Span, SpecError, lines_of, short

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_DIGITS = 400

Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar."""

    value: Scalar
    span: Span


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping, with the span of the key itself."""

    key_span: Span
    node: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order written."""

    entries: dict[str, Entry]
    span: Span

    def get(self, key: str) -> Node | None:
        """The value under `key`, if any."""
        entry = self.entries.get(key)
        return entry.node if entry else None


Node = Value | Items | Table
Path_ = tuple[str | int, ...]


def plain(node: Node) -> Any:
    """The data without positions."""
    match node:
        case Value():
            return node.value
        case Items():
            return [plain(n) for n in node.items]
        case Table():
            return {k: plain(e.node) for k, e in node.entries.items()}


def find(node: Node, path: Path_) -> Node | None:
    """The node at `path`, or None."""
    for step in path:
        child = _child(node, step)
        if child is None:
            return None
        node = child
    return node


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, Table) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def read_file(path: Path, missing: Span | None = None) -> Source:
    """The text of a spec. `missing` is the span that refers to the file, unless the command line does."""
    return decode(str(path), read_bytes(path, missing))


def read_bytes(path: Path, missing: Span | None = None) -> bytes:
    """The bytes of a spec: at most one more than `decode` accepts."""
    try:
        # Checked before it is opened: opening a pipe would wait for a writer.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            hint = None if missing else "pass a spec file, or a run folder that nin-spec train wrote"
            raise SpecError(Code.FILE_UNREADABLE, f"{short(str(path), 200)} is {what}", missing, hint)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(Code.FILE_NOT_FOUND, f"the file {short(str(path), 200)} does not exist", missing) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{short(str(path), 200)} can't be read: {reason}"
        raise SpecError(Code.FILE_UNREADABLE, message, missing) from None


def decode(name: str, data: bytes) -> Source:
    """Bytes to a source. Raises SpecError if they are too many or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise SpecError(Code.FILE_TOO_LARGE, f"{name} is larger than {MAX_BYTES:,} bytes, the limit of a spec")
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"{name} is not UTF-8: byte {error.start} (line {line}) is 0x{data[error.start]:02x}"
        raise SpecError(Code.NOT_UTF8, message) from None


def parse(source: Source) -> Node:
    """One YAML document as nodes. Raises SpecError with every problem found up to the first syntax error."""
    return _Parser(source).document()


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.errors: list[Diagnostic] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.count = 0

    def document(self) -> Node:
        roots: list[Node] = []
        try:
            for event in self._events():
                if isinstance(event, yaml.events.DocumentStartEvent) and roots:
                    self._stop(Code.YAML_NOT_ONE_DOCUMENT, "a second YAML document; a spec is a single one", event)
                if isinstance(event, yaml.events.NodeEvent):
                    roots.append(self._node(event, 0))
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except yaml.reader.ReaderError as error:
            self.errors.append(self._unprintable(error))
        if not roots and not self.errors:
            self.errors.append(
                Diagnostic(Code.YAML_NOT_ONE_DOCUMENT, f"{self.source.name} is empty", Span(self.source, 1, 1))
            )
        if self.errors:
            raise SpecError(self.errors)
        return roots[0]

    def _events(self) -> Iterator[Any]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.stream: Iterator[Any] = yaml.parse(self.source.text, Loader=loader)
        return self.stream

    def _node(self, event: Any, depth: int) -> Node:
        """The node that `event` begins. Recursion is bounded by MAX_DEPTH."""
        if depth > MAX_DEPTH:
            self._stop(Code.YAML_TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.events.AliasEvent):
            return self._alias(event)
        if event.tag is not None and event.tag != "!":
            self._tag(event)
        start = self.count
        self._tally(1, event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = self._build(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.count - start)
        return node

    def _build(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.events.ScalarEvent):
            return Value(self._scalar(event), self._span(event))
        if isinstance(event, yaml.events.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self.stream), yaml.events.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Items(tuple(items), self._span(event))
        return self._table(event, depth)

    def _table(self, event: Any, depth: int) -> Table:
        entries: dict[str, Entry] = {}
        while not isinstance(key := next(self.stream), yaml.events.MappingEndEvent):
            span = self._span(key)
            name = self._key(key, depth)
            node = self._node(next(self.stream), depth + 1)
            if name is not None and name in entries:
                first = entries[name].key_span.line
                message = f"the key {short(name)!r} is given twice, first on line {first}"
                self._report(Code.YAML_DUPLICATE_KEY, message, span)
            elif name is not None:
                entries[name] = Entry(span, node)
        return Table(entries, self._span(event))

    def _key(self, event: Any, depth: int) -> str | None:
        if not isinstance(event, yaml.events.ScalarEvent):
            self._error(Code.YAML_KEY, "a key must be a plain name", event)
            self._node(event, depth + 1)
            return None
        if event.anchor is not None:
            self._error(Code.YAML_KEY, "a key must be a plain name, without an anchor", event)
        if event.tag is not None:
            self._tag(event)
        if event.value == "<<" and event.implicit[0]:
            self._error(
                Code.YAML_MERGE_KEY, "merge keys are not part of the language", event, "use defaults or extends"
            )
            return None
        return str(event.value)

    def _tag(self, event: Any) -> None:
        self._error(
            Code.YAML_TAG, f"the tag {short(event.tag)!r} is not allowed: specs are plain data", event, "remove the tag"
        )

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self.anchors:
            self._stop(Code.YAML_ALIAS, f"the alias *{short(event.anchor)} has no anchor before it", event)
        known = self.anchors[event.anchor]
        if known is None:
            self._stop(Code.YAML_ALIAS, f"the alias *{short(event.anchor)} contains itself", event)
        node, size = known
        self._tally(size, event)
        return node

    def _tally(self, nodes: int, event: Any) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            self._stop(Code.YAML_TOO_MANY_NODES, f"more than {MAX_NODES:,} values, aliases expanded", event)

    def _scalar(self, event: Any) -> Scalar:
        if event.style or event.tag == "!":
            return str(event.value)
        try:
            return resolve_plain(event.value)
        except ValueError as error:
            self._error(Code.OUT_OF_RANGE, str(error), event)
            return 0

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        single = isinstance(event, yaml.events.ScalarEvent) and start.line == end.line
        return self._mark_span(start, max(1, end.column - start.column) if single else 1)

    def _mark_span(self, mark: Any, length: int = 1) -> Span:
        """The span of a mark; a mark past the last line moves to the end of that line."""
        lines = lines_of(self.source.text)
        if mark.line >= len(lines):
            return Span(self.source, max(1, len(lines)), len(lines[-1]) + 1 if lines else 1)
        return Span(self.source, mark.line + 1, mark.column + 1, length)

    def _report(self, code: Code, message: str, span: Span, hint: str | None = None) -> None:
        self.errors.append(Diagnostic(code, message, span, hint))
        if len(self.errors) >= MAX_FINDINGS:
            raise SpecError(self.errors)

    def _error(self, code: Code, message: str, event: Any, hint: str | None = None) -> None:
        self._report(code, message, self._span(event), hint)

    def _stop(self, code: Code, message: str, event: Any) -> NoReturn:
        self._error(code, message, event)
        raise SpecError(self.errors)

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        span = self._mark_span(mark) if mark else None
        context = f" ({error.context})" if error.context else ""
        at_tab = span is not None and span.source.line(span.line)[span.column - 1 :].startswith("\t")
        hint = "indent with spaces, not tabs" if at_tab else _syntax_hint(str(error.problem))
        self.errors.append(Diagnostic(Code.YAML_SYNTAX, f"not YAML: {error.problem}{context}", span, hint))

    def _unprintable(self, error: yaml.reader.ReaderError) -> Diagnostic:
        match = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", self.source.text)
        before = self.source.text[: match.start()] if match else ""
        lines = f"{before}.".splitlines()
        return Diagnostic(Code.YAML_SYNTAX, f"not YAML: {error.reason}", Span(self.source, len(lines), len(lines[-1])))


_SYNTAX_HINTS = {
    "mapping values are not allowed": "check this line's indentation; quote a text that contains a colon",
    "expected '-' indicator": "check the indentation of this line and of its list",
    "expected key": "check the indentation of this line and of its neighbours",
    "expected <block end>": "check the indentation of this line and of its neighbours",
    "could not find expected ':'": "a key needs a colon and a space, for example `kernel: 3`; check the line before, "
    "too",
    "unexpected end of stream": "a quote, a bracket or a brace is not closed",
    "expected ',' or": "a bracket or a brace is not closed, or a comma is missing",
    "alphabetic or numeric character": "check the lines above for an unclosed quote",
}
"""The usual mistakes behind libyaml's messages."""


def _syntax_hint(problem: str) -> str | None:
    return next((hint for words, hint in _SYNTAX_HINTS.items() if words in problem), None)


_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
    ".NaN": float("nan"),
    ".NAN": float("nan"),
}


def resolve_plain(text: str) -> Scalar:
    """An unquoted scalar by the YAML 1.2 core schema. Raises ValueError for a number that is too long."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits")
        return int(text, 0 if text.startswith(("0x", "0o")) else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
