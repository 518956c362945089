"""What the tests of the rules share: short specs that no rule minds, and findings in a few words."""

from __future__ import annotations

from typing import Any

from nin_spec.language.load import loads
from nin_spec.lint import lint
from nin_spec.network import Network
from nin_spec.network import compile as compile_network

STEM = "{channels: [64], kernel: 8, stride: 4}"
"""32 x 32 pixels become 7 x 7 cells."""

SCORES = "{convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}"
"""Class maps that see everything, without anything behind them."""


def spec_of(*blocks: str, top: str = "", size: object = 32, classes: object = 10, channels: int = 3) -> str:
    """The text of a spec of these blocks; `top` holds further sections."""
    head = f"spec: 1\nname: a\ninput: {{channels: {channels}, size: {size}}}\nclasses: {classes}\n"
    return head + "blocks:\n" + "".join(f"  - {b}\n" for b in blocks or (STEM, SCORES)) + top


def network_of(text: str, *overrides: str) -> Network:
    """The network of a text."""
    return compile_network(loads(text, "a.yaml", overrides))


def codes_of(text: str) -> list[str]:
    """The codes found in a text, in its order."""
    return [d.code.code for d in lint(network_of(text))]


def told(text: str, code: str) -> list[tuple[int, int, str, Any]]:
    """(line, column, text under the caret, message) of each finding of a code."""
    found = [d for d in lint(network_of(text)) if d.code.code == code]
    places = [(d.span, d.message) for d in found if d.span is not None]
    return [(s.line, s.column, s.source.line(s.line)[s.column - 1 :][: s.length], message) for s, message in places]
