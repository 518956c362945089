"""What `nin-spec check --fix` and `--diff` do to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.diagnostics import Code, Diagnostic, ExportError, SpecError, printable

if TYPE_CHECKING:
    from nin_spec.lint.finding import Finding
    from nin_spec.lint.fixing import Fixed


def fix_all(
    specs: tuple[str, ...], wanted: Callable[[Diagnostic], bool], *, write: bool, unsafe: bool
) -> tuple[int, dict[str, list[Diagnostic]]]:
    """How many fixes were made, shown as a diff, and what is found in each spec afterwards."""
    changes = 0
    reports: dict[str, list[Diagnostic]] = {}
    for spec in specs:
        if not Path(spec).is_file():
            raise click.UsageError(f"--fix and --diff change files, and {spec} is not one")
        try:
            fixed = _fixed(spec, wanted, unsafe=unsafe)
        except SpecError as error:
            reports[spec] = list(error.diagnostics)
            continue
        tell(fixed)
        if write and fixed.done:
            save(Path(spec), fixed)
        changes += len(fixed.done)
        reports[spec] = _left(fixed, wanted, written=write)
    return changes, reports


def _fixed(spec: str, wanted: Callable[[Diagnostic], bool], *, unsafe: bool) -> Fixed:
    from nin_spec.lint.fixes import is_safe
    from nin_spec.lint.fixing import fix
    from nin_spec.network import compile as compile_network

    def asked(finding: Finding) -> bool:
        return wanted(finding.diagnostic) and (unsafe or is_safe(finding.code))

    return fix(compile_network(spec), asked)


def tell(fixed: Fixed) -> None:
    """The diff, and what each change is for."""
    for line in fixed.diff().splitlines():
        click.echo(printable(line))
    for finding in fixed.done:
        click.echo(f"fixed {finding.code.code}: {finding.message}")


def save(path: Path, fixed: Fixed) -> None:
    """Write the file anew, unless it was changed meanwhile. Raises ExportError."""
    from nin_spec.files import write_atomic

    data = path.read_bytes()
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    if data.removeprefix(mark) != fixed.before.text.encode():
        message = f"{path} was changed while it was read; nothing is written"
        raise ExportError(Diagnostic(Code.EXPORT_PATH, message, hint="run the command again"))
    write_atomic(path, mark + fixed.text.encode())


def _left(fixed: Fixed, wanted: Callable[[Diagnostic], bool], *, written: bool) -> list[Diagnostic]:
    """What the rules find afterwards, in the file as it then is."""
    from nin_spec.lint import lint
    from nin_spec.network import compile as compile_network

    network = fixed.network if written or not fixed.done else compile_network(fixed.before.name)
    return [found for found in lint(network) if wanted(found)]
