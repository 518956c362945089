"""The table of `nin-spec prove`, as text, Markdown or JSON, and what is wrong or refused below it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from nin_spec.conformance.verdict import Outcome

if TYPE_CHECKING:
    from nin_spec.conformance.results import Fault, Record, Row

HEADERS = ("op", "precision", *(outcome.value for outcome in Outcome), "worst")
_RIGHT = range(2, len(HEADERS))


def show(record: Record, form: str) -> None:
    """Print the record."""
    match form:
        case "json":
            click.echo(json.dumps(record.as_dict(), indent=2, ensure_ascii=False, allow_nan=False))
        case "markdown":
            click.echo("\n".join(markdown(record)))
        case _:
            click.echo("\n".join(text(record)))


def text(record: Record) -> Iterator[str]:
    """The table, and for each row that is not exact the smallest spec that shows it."""
    from nin_spec.printing import columns

    rows = record.rows()
    yield from (*heading(record), "")
    yield from columns([HEADERS, *map(cells, rows)], right=_RIGHT)
    for row, fault in faults(rows):
        yield from ("", title(row), f"  {fault.verdict.reason}", f"  {shows(fault)}:")
        yield from (f"    {line}" for line in fault.case.spec.splitlines())
    yield from ("", total(record))


def markdown(record: Record) -> Iterator[str]:
    """The same for an issue or a report."""
    rows = record.rows()
    yield from (f"{line}  " for line in heading(record))
    yield from ("", _line(HEADERS), _line("--:" if k in _RIGHT else "---" for k in range(len(HEADERS))))
    yield from (_line(cells(row)) for row in rows)
    yield from ("", total(record))
    for row, fault in faults(rows):
        yield from ("", f"**{title(row)}**", "", fault.verdict.reason, "", f"{shows(fault)}:", "")
        yield from ("```yaml", *fault.case.spec.splitlines(), "```")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def heading(record: Record) -> tuple[str, ...]:
    """What was proved: the device, what runs it, and every version that the verdicts depend on."""
    facts = record.circumstances
    hardware = ", ".join(f"{key} {value}" for key, value in facts["hardware"].items() if value)
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    options = "".join(f", {key}={value}" for key, value in facts["options"].items())
    return (f"{facts['device']}{options}: {facts['provider']}{f' ({hardware})' if hardware else ''}", versions)


def cells(row: Row) -> tuple[str, ...]:
    """A row as people read it."""
    counts = (str(row.counts[outcome]) for outcome in Outcome)
    return (row.op, row.precision, *counts, "" if row.worst is None else f"{row.worst:.1e}")


def faults(rows: list[Row]) -> Iterator[tuple[Row, Fault]]:
    """The rows that are not exact: first what is wrong, then what is refused."""
    for outcome in (Outcome.WRONG, Outcome.REFUSED):
        yield from ((row, row.fault) for row in rows if row.fault is not None and row.fault.verdict.outcome is outcome)


def title(row: Row) -> str:
    """`wrong: pool avg in float32, 3 of 97 cases`."""
    counts = [f"{row.counts[outcome]} {outcome}" for outcome in (Outcome.WRONG, Outcome.REFUSED) if row.counts[outcome]]
    return f"{row.op} in {row.precision}: {', '.join(counts)} of {sum(row.counts.values())}"


def shows(fault: Fault) -> str:
    """How the spec below is called."""
    exported = "".join(f" --{key} {value}" for key, value in fault.case.options.items())
    exported = f", exported with{exported}" if exported else ""
    return f"the smallest spec that shows it, {fault.case.id}{exported}"


def total(record: Record) -> str:
    """How many cases came out how."""
    counts = ", ".join(f"{record.count(outcome):,} {outcome}" for outcome in Outcome)
    left = f"; {len(record.left):,} not proved yet" if record.left else ""
    return f"{len(record.cases):,} cases: {counts}{left}"
