"""What is legal and probably not meant.

The rules stand in scores.py, windows.py, layers.py, start.py and recipe.py, their table in rules.py, their pages in
pages.py; finding.py is what they look at and what they find. ignores.py silences them, fixes.py says what would
put them right, fixing.py does it, by the small changes of a text in edits.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nin_spec.diagnostics import Diagnostic
    from nin_spec.lint.finding import Finding
    from nin_spec.network import Network


def lint(network: Network) -> list[Diagnostic]:
    """What the rules find in a network, as it stands in the text; warnings and notes, no errors."""
    return [finding.diagnostic for finding in findings(network)]


def findings(network: Network) -> list[Finding]:
    """The same, with what a fix needs to know."""
    from nin_spec.lint.finding import Subject
    from nin_spec.lint.ignores import apply
    from nin_spec.lint.rules import RULES

    subject = Subject(network)
    found = [finding for rule in RULES.values() for finding in rule(subject)]
    kept = apply(found, network.spec.root.source, [code.code for code in RULES])
    return sorted(kept, key=lambda f: (f.span.source.name, f.span.line, f.span.column, f.code.code))
