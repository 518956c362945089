"""Reading a text after each keystroke: a network, or its errors; and the text with one of its findings fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nin_spec.diagnostics import Diagnostic, Severity, Span, SpecError
from nin_spec.diagrams import svg
from nin_spec.language import document
from nin_spec.language.load import load_source
from nin_spec.lint import findings
from nin_spec.lint.finding import Finding, Subject
from nin_spec.lint.fixes import fix_of, is_safe
from nin_spec.lint.fixing import attempt
from nin_spec.network import Network
from nin_spec.network import compile as compile_network

_WIDTH = 820
"""Width of the diagram in pixels: about half a window."""


@dataclass(frozen=True)
class Reading:
    """The result of reading a text. Without a network, `diagnostics` has an error, and `diagram`, an SVG, is empty.

    `fixable` are the findings that have a fix, by their diagnostics.
    """

    text: str
    name: str
    network: Network | None
    diagnostics: tuple[Diagnostic, ...]
    diagram: str = ""
    fixable: Mapping[Diagnostic, Finding] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(d.severity is Severity.ERROR for d in self.diagnostics)

    def safe(self, diagnostic: Diagnostic) -> bool | None:
        """Whether the fix of a diagnostic preserves what the network can compute; None if there is no fix."""
        return is_safe(diagnostic.code) if diagnostic in self.fixable else None

    def fixed(self, diagnostic: Diagnostic) -> str | None:
        """The text with a finding fixed as by `check --fix`; None if there is no fix, or it would change more."""
        finding = self.fixable.get(diagnostic)
        if self.network is None or finding is None:
            return None
        after = attempt(self.network, finding)
        return None if after is None else after.spec.root.source.text

    def own(self, diagnostic: Diagnostic) -> Span | None:
        """The span of a diagnostic in this text; None for one in a spec that it extends."""
        span = diagnostic.span
        return span if span and span.source.name == self.name else None


def read_spec(text: str, name: str, stale: Callable[[], bool]) -> Reading | None:
    """Read a text with the name `name`; returns None as soon as `stale` is true."""
    try:
        source = document.decode(name, text.encode("utf-8", "surrogatepass"))
        spec = load_source(source)
        if stale():
            return None
        network = compile_network(spec)
    except SpecError as error:
        return Reading(text, name, None, error.diagnostics)
    _ = network.table, network.hash  # computed here, not in the page's thread
    if stale():
        return None
    found, subject = findings(network), Subject(network)
    fixable = {f.diagnostic: f for f in found if fix_of(subject, f) is not None}
    return Reading(text, name, network, tuple(f.diagnostic for f in found), svg(network, _WIDTH), fixable)


def offsets(text: str, span: Span) -> tuple[int, int]:
    """The start and end of a span in characters, inside the text."""
    start = 0
    for _ in range(span.line - 1):
        start = text.find("\n", start) + 1
        if not start:
            return len(text), len(text)
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    first = min(start + span.column - 1, end)
    return first, min(first + span.length, end)
