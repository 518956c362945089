"""What `nin-spec check --fix` and `--diff` do to files."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.cli.findings import Report, Wanted, report_on
from nin_spec.cli.options import tell as remark
from nin_spec.diagnostics import Code, ExportError, SpecError, printable

if TYPE_CHECKING:
    from nin_spec.lint.finding import Finding
    from nin_spec.lint.fixing import Fixed


def fix_all(specs: tuple[str, ...], wanted: Wanted, *, write: bool, unsafe: bool) -> tuple[int, dict[str, Report]]:
    """Show the fixes, and write them if asked. Returns their number, and what remains to report for each spec."""
    if other := next((spec for spec in specs if not Path(spec).is_file()), None):
        raise click.UsageError(f"--fix and --diff are for files, and {other} is not one")
    changes = 0
    reports: dict[str, Report] = {}
    for spec in specs:
        try:
            fixed = _fixed(spec, wanted, unsafe=unsafe)
        except SpecError as error:
            reports[spec] = Report(list(error.diagnostics))
            continue
        tell(fixed, "fixed" if write else "would fix")
        if write:
            save(Path(spec), fixed)
        left = report_on(fixed.network, wanted)
        if write:
            reports[spec] = left
        elif left.unsafe and not unsafe:
            remark([f"{spec}: {left.unsafe} more by --unsafe-fixes"])
        changes += len(fixed.done)
    return changes, reports


def _fixed(spec: str, wanted: Wanted, *, unsafe: bool) -> Fixed:
    from nin_spec.lint.fixes import is_safe
    from nin_spec.lint.fixing import fix
    from nin_spec.network import compile as compile_network

    def asked(finding: Finding) -> bool:
        return wanted(finding.diagnostic) and (unsafe or is_safe(finding.code))

    return fix(compile_network(spec), asked)


def tell(fixed: Fixed, what: str) -> None:
    """The diff, and what each change is for."""
    for line in fixed.diff().splitlines():
        click.echo(printable(line))
    remark(f"{what} {finding.code.code}: {printable(finding.message)}" for finding in fixed.done)


def save(path: Path, fixed: Fixed) -> None:
    """Write the file again, unless it was changed meanwhile. Raises ExportError."""
    from nin_spec.files import write_atomic

    if not fixed.done:
        return
    data = path.read_bytes() if path.is_file() else b""
    mark = BOM_UTF8 if data.startswith(BOM_UTF8) else b""
    if data.removeprefix(mark) != fixed.before.text.encode():
        message = f"{path} was changed while it was read; nothing is written"
        raise ExportError(Code.EXPORT_PATH, message, hint="run the command again")
    write_atomic(path, mark + fixed.text.encode())
