"""Where a span may stand."""

from __future__ import annotations

from nin_spec.diagnostics import Span


def assert_inside(span: Span) -> None:
    """The span begins on a line of its source, at a character of it or just past its end."""
    lines = span.source.text.splitlines() or [""]
    assert 1 <= span.line <= len(lines), span
    assert 1 <= span.column <= len(lines[span.line - 1]) + 1, span
    assert span.length >= 1
