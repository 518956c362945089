"""Lint: rules for what is legal but probably unintended.

The rules are in scores.py, windows.py, layers.py, start.py and recipe.py, their table in rules.py, their pages in
pages.py; finding.py has their input and output. ignores.py suppresses findings, fixes.py defines the fixes, fixing.py
applies them through the text edits of edits.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.diagnostics import Findings

if TYPE_CHECKING:
    from nin_spec.lint.finding import Finding
    from nin_spec.network import Network


def lint(network: Network) -> Findings:
    """The findings for a network, in the order of the text: warnings and notes, no errors."""
    return Findings(finding.diagnostic for finding in findings(network))


def findings(network: Network) -> list[Finding]:
    """The same, with what a fix needs to know."""
    from nin_spec.lint.finding import Subject
    from nin_spec.lint.ignores import apply
    from nin_spec.lint.rules import RULES

    subject = Subject(network)
    found = [finding for rule in RULES.values() for finding in rule(subject)]
    kept = apply(found, network.spec.root.source, [code.code for code in RULES])
    return sorted(kept, key=lambda f: (f.span.source.name, f.span.line, f.span.column, f.code.code))
