"""`check --fix`: one fix after another, each kept only if the network then is what the fix promised."""

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
    """A text before and after, and what was found and put right."""

    before: Source
    network: Network
    done: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """The text with every fix made."""
        return self.network.spec.root.source.text

    def diff(self) -> str:
        """What changed, as `diff -u` has it; nothing where nothing did."""
        name = self.before.name
        before, after = (text.splitlines(keepends=True) for text in (self.before.text, self.text))
        return "".join(_ended(line) for line in unified_diff(before, after, name, name))


def _ended(line: str) -> str:
    """A line of a diff; the last line of a text may have no end."""
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def fix(network: Network, wanted: Callable[[Finding], bool]) -> Fixed:
    """Make the fixes of all findings that are wanted, as far as they keep their promises."""
    before = network.spec.root.source
    done: list[Finding] = []
    tried: set[tuple[object, ...]] = set()
    while len(done) < MAX_FINDINGS and (step := next(_steps(network, wanted, tried), None)) is not None:
        network, finding = step
        done.append(finding)
        if finding.layers:  # comments get fewer each time, and several may read alike
            tried.add(_key(finding))
    return Fixed(before, network, tuple(done))


def _steps(
    network: Network, wanted: Callable[[Finding], bool], tried: set[tuple[object, ...]]
) -> Iterator[tuple[Network, Finding]]:
    """The network with the next fix made. What can't be fixed is not tried again."""
    for finding in findings(network):
        if _key(finding) not in tried and wanted(finding):
            fixed = attempt(network, finding)
            if fixed is not None:
                yield fixed, finding
            tried.add(_key(finding))


def _key(finding: Finding) -> tuple[object, ...]:
    """What a finding is about, wherever it stands by now."""
    return finding.code, finding.layers or finding.message


def attempt(network: Network, finding: Finding) -> Network | None:
    """The network with one fix made; None where there is none, or it would not be what was promised."""
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
    """How often a finding is made."""
    return sum(_key(f) == _key(finding) for f in findings(network))


def holds(before: Network, after: Network, fix: Fix) -> bool:
    """Whether just the layers of the promise changed, and of the other values only those that may."""
    promised = [(n.name, fix.ops.get(n.name, n.op)) for n in before.graph]
    got = [(n.name, n.op) for n in after.graph]
    data = [without(n.spec.data, fix.keys) for n in (before, after)]
    return [(name, op) for name, op in promised if op is not None] == got and data[0] == data[1]


def without(data: Any, keys: frozenset[str]) -> Any:
    """Plain data less the values under some keys."""
    if isinstance(data, dict):
        return {k: without(v, keys) for k, v in data.items() if k not in keys}
    return [without(v, keys) for v in data] if isinstance(data, list) else data
