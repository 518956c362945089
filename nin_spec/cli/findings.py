"""The findings of the selected rules in a spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nin_spec.diagnostics import Code, Diagnostic, Severity, SpecError

if TYPE_CHECKING:
    from nin_spec.lint.finding import Finding
    from nin_spec.named import SpecFile
    from nin_spec.network import Network

Wanted = Callable[[Diagnostic], bool]


@dataclass(frozen=True)
class Report:
    """The findings in a spec, and how many have a safe fix, or an unsafe one."""

    found: list[Diagnostic]
    safe: int = 0
    unsafe: int = 0


def chosen(select: frozenset[str], ignore: frozenset[str], *, no_lint: bool, overridden: bool) -> Wanted:
    """Which findings the options ask for."""

    def wanted(found: Diagnostic) -> bool:
        if found.severity is Severity.ERROR:
            return True
        # An override changes what there is to ignore.
        stale = overridden and found.code is Code.UNUSED_IGNORE
        code = found.code.code
        return not (no_lint or stale or code in ignore or (select and code not in select))

    return wanted


def examine(spec: str | SpecFile, overrides: tuple[str, ...], wanted: Wanted) -> Report:
    """Everything wrong with a spec, or else what the rules find in it."""
    from nin_spec.opened import compile as compile_network

    try:
        network = compile_network(spec, overrides)
    except SpecError as error:
        return Report(list(error.diagnostics))
    return report_on(network, wanted)


def report_on(network: Network, wanted: Wanted) -> Report:
    """What the rules find in a network, and how many of them can be fixed."""
    from nin_spec.lint import findings

    found = [f for f in findings(network) if wanted(f.diagnostic)]
    return Report([f.diagnostic for f in found], *fixable(network, found))


def fixable(network: Network, found: list[Finding]) -> tuple[int, int]:
    """How many findings have a safe fix, and how many another."""
    if not found:
        return 0, 0
    from nin_spec.lint.finding import Subject
    from nin_spec.lint.fixes import fix_of, is_safe

    safe = [is_safe(f.code) for f in found if fix_of(Subject(network), f) is not None]
    return safe.count(True), safe.count(False)
