"""The panes beside the editor, as HTML. Every text from a spec is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from nin_spec.analysis.tables import Row, ShapeTable
from nin_spec.diagnostics import Diagnostic, Severity, printable
from nin_spec.printing import memory, pair
from nin_spec.studio.reading import Reading

_MARKS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "info"}
_HEADERS = ("layer", "operation", "output", "parameters", "MACs", "field", "line")


def summary(table: ShapeTable) -> str:
    """The totals as tiles, and the semantic hash."""
    field = table.rows[-1].receptive_field if table.rows else (1, 1)
    height, width = table.input[-2:]
    reach = "all of it" if field[0] >= height and field[1] >= width else f"of {height} x {width}"
    tiles = [
        _tile("parameters", _short(table.parameters), f"{table.parameters:,}"),
        _tile("MACs", _short(table.macs), f"{table.macs:,} per image"),
        _tile("receptive field", pair(field), f"pixels, {reach}"),
        _tile("weights", memory(table.weight_bytes), table.dtype),
        _tile("activations", memory(table.peak_memory), "at the peak, per image"),
    ]
    shape = " x ".join(map(str, table.input))
    head = f"<h2>{escape(table.name)}</h2><span>{shape}</span><code title='semantic hash'>{escape(table.hash)}</code>"
    return f"<div class='nin-title'>{head}</div><div class='nin-tiles'>{''.join(tiles)}</div>"


def _tile(name: str, value: str, note: str) -> str:
    return f"<div><span>{name}</span><b>{value}</b><small>{escape(note)}</small></div>"


def _short(number: int) -> str:
    """A count in three digits: 966,986 is 967 k."""
    for unit in ("", " k", " M", " G"):
        if number < 999.5:
            return f"{number:.0f}{unit}" if not unit or number >= 100 else f"{number:.3g}{unit}"
        number /= 1000  # type: ignore[assignment]
    return f"{number:,.0f} T"


def layers(table: ShapeTable, own: str) -> str:
    """The shape table. A row links to its line if that is in the file `own`; bars show each row's fraction."""
    most = max((r.parameters for r in table.rows), default=0), max((r.macs for r in table.rows), default=0)
    head = "".join(f"<th scope='col'>{h}</th>" for h in _HEADERS)
    rows = "".join(_row(r, own, most) for r in table.rows)
    return f"<table class='nin-layers'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(row: Row, own: str, most: tuple[int, int]) -> str:
    here = row.file == own
    link = f" data-line='{row.line}'" if here and row.line is not None else ""
    place = str(row.line or "") if here else f"{Path(row.file or '').name}:{row.line}"
    cells = [
        f"<td>{escape(row.name)}</td>",
        f"<td>{escape(row.op)} <i>{escape(row.detail)}</i></td>",
        f"<td>{'x'.join(map(str, row.output_shape))}</td>",
        _bar(row.parameters, most[0]),
        _bar(row.macs, most[1]),
        f"<td>{pair(row.receptive_field)}</td>",
        f"<td>{escape(place)}</td>",
    ]
    first = " class='nin-first'" if row.name.endswith(".convs.0") else ""
    return f"<tr{link}{first}>{''.join(cells)}</tr>"


def _bar(value: int, most: int) -> str:
    if not value:
        return "<td></td>"
    return f"<td class='nin-bar' style='--share:{value / most:.3f}'>{value:,}</td>"


def findings(reading: Reading) -> str:
    """Errors, warnings and notes, each linked to its position, with a button where it can be fixed."""
    if not reading.diagnostics:
        return ""
    items = "".join(_finding(k, d, reading) for k, d in enumerate(reading.diagnostics))
    return f"<ol class='nin-findings'>{items}</ol>"


def _finding(number: int, diagnostic: Diagnostic, reading: Reading) -> str:
    span, own = diagnostic.span, reading.own(diagnostic)
    hint = f"<small>{escape(printable(diagnostic.hint))}</small>" if diagnostic.hint else ""
    text = f"<b>{diagnostic.code.code}</b> {escape(printable(diagnostic.message))}{hint}"
    if own:
        link = f" data-line='{own.line}' data-column='{own.column}'"
        name = f"line {own.line}, column {own.column}"
        place = f"<button class='nin-place' title='{name}'>{own.line}:{own.column}</button>"
    else:
        link = ""
        place = f"<span class='nin-place'>{escape(f'{Path(span.source.name).name}:{span.line}' if span else '')}</span>"
    return (
        f"<li class='{_MARKS[diagnostic.severity]}'{link}>{place}<p>{text}</p>{_fix(number, diagnostic, reading)}</li>"
    )


def _fix(number: int, diagnostic: Diagnostic, reading: Reading) -> str:
    safe = reading.safe(diagnostic)
    if safe is None:
        return ""
    title = "" if safe else " title='This changes what the network computes.'"
    name = f"{diagnostic.code.code}{'' if safe else ', which changes what the network computes'}"
    return f"<button class='nin-fix' data-fix='{number}'{title} aria-label='Fix {name}'>Fix</button>"


def counts(reading: Reading) -> str:
    """The number of diagnostics of each severity, as text."""
    found = [(kind, sum(d.severity is kind for d in reading.diagnostics)) for kind in _MARKS]
    return ", ".join(f"{n} {kind.value}{'' if n == 1 else 's'}" for kind, n in found if n) or "no findings"


def tooltips(diagnostics: Iterable[Diagnostic], reading: Reading) -> dict[int, str]:
    """The tooltips of lines."""
    found: dict[int, list[str]] = {}
    for diagnostic in diagnostics:
        if span := reading.own(diagnostic):
            hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
            found.setdefault(span.line, []).append(f"{diagnostic.code.code}  {diagnostic.message}{hint}")
    return {line: printable_lines("\n\n".join(texts)) for line, texts in found.items()}


def printable_lines(text: str) -> str:
    """Each line printable."""
    return "\n".join(map(printable, text.split("\n")))
