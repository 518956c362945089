"""`check --fix`: apply fixes one by one, keeping each only if the network changed as intended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from nin_spec.diagnostics import MAX_FINDINGS, Source, SpecError
from nin_spec.language.document import decode
from nin_spec.language.load import load_source
from nin_spec.lint import findings
from nin_spec.lint.edits import edited
from nin_spec.lint.finding import Finding, Subject
from nin_spec.lint.fixes import Fix, fix_of
from nin_spec.network import Network
from nin_spec.network import compile as compile_network


@dataclass(frozen=True)
class Fixed:
    """A text before and after, and the findings that were fixed."""

    before: Source
    network: Network
    done: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """The text with every fix applied."""
        return self.network.spec.root.source.text

    def diff(self) -> str:
        """The changes as a unified diff; empty if there are none."""
        name = self.before.name
        before, after = (text.splitlines(keepends=True) for text in (self.before.text, self.text))
        return "".join(_ended(line) for line in unified_diff(before, after, name, name))


def _ended(line: str) -> str:
    """A line of a diff; the last line of a text may have no end."""
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def fix(network: Network, wanted: Callable[[Finding], bool]) -> Fixed:
    """Apply the fixes of all wanted findings, except those that change anything else."""
    before = network.spec.root.source
    done: list[Finding] = []
    tried: set[tuple[object, ...]] = set()
    while len(done) < MAX_FINDINGS and (step := next(_steps(network, wanted, tried), None)) is not None:
        network, finding = step
        done.append(finding)
        if finding.layers:  # each step removes comments, and several may have the same text
            tried.add(_key(finding))
    return Fixed(before, network, tuple(done))


def _steps(
    network: Network, wanted: Callable[[Finding], bool], tried: set[tuple[object, ...]]
) -> Iterator[tuple[Network, Finding]]:
    """The network with the next fix applied. A failed fix is not retried."""
    for finding in findings(network):
        if _key(finding) not in tried and wanted(finding):
            fixed = attempt(network, finding)
            if fixed is not None:
                yield fixed, finding
            tried.add(_key(finding))


def _key(finding: Finding) -> tuple[object, ...]:
    """The identity of a finding, independent of its position."""
    return finding.code, finding.layers or finding.message


def attempt(network: Network, finding: Finding) -> Network | None:
    """The network with one fix applied; None if there is none, or if it would change anything else."""
    change = fix_of(Subject(network), finding)
    if change is None:
        return None
    source = network.spec.root.source
    text = edited(source.text, change.edits)
    try:
        after = compile_network(load_source(decode(source.name, text.encode())))
    except SpecError:
        return None
    return after if holds(network, after, change) and _count(after, finding) < _count(network, finding) else None


def _count(network: Network, finding: Finding) -> int:
    """How often a finding occurs."""
    return sum(_key(f) == _key(finding) for f in findings(network))


def holds(before: Network, after: Network, fix: Fix) -> bool:
    """Whether only the layers and values named by the fix changed."""
    promised = [(n.name, fix.ops.get(n.name, n.op)) for n in before.graph]
    got = [(n.name, n.op) for n in after.graph]
    data = [without(n.spec.data, fix.keys) for n in (before, after)]
    return [(name, op) for name, op in promised if op is not None] == got and data[0] == data[1]


def without(data: Any, keys: frozenset[str]) -> Any:
    """Plain data less the values under some keys."""
    if isinstance(data, dict):
        return {k: without(v, keys) for k, v in data.items() if k not in keys}
    return [without(v, keys) for v in data] if isinstance(data, list) else data
