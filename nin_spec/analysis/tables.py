"""The shape table as text, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path

from nin_spec.analysis.shapes import Row, ShapeTable
from nin_spec.diagnostics import printable
from nin_spec.ir.types import Pair

HEADERS = ("layer", "op", "", "output", "parameters", "MACs", "field", "jump", "memory", "line")
_RIGHT = {4, 5, 6, 7, 8, 9}
_SPARE = ("jump", "memory", "line", "field", "MACs", "")
"""Columns to leave out, in this order, when the terminal is too narrow for all."""


def cells(row: Row, *, with_file: bool = False) -> tuple[str, ...]:
    """A row as people read it; `with_file` names the file that the line is in."""
    file = f"{Path(row.file).name}:" if with_file and row.file else ""
    return (
        row.name,
        row.op,
        row.detail,
        "x".join(map(str, row.output_shape)),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.macs:,}" if row.macs else "",
        pair(row.receptive_field),
        pair(row.jump),
        memory(row.memory),
        f"{file}{row.line}" if row.line is not None else "",
    )


def all_cells(table: ShapeTable) -> list[tuple[str, ...]]:
    """Every row; lines bear their file where a spec extends another."""
    elsewhere = any(r.file not in {None, table.file} for r in table.rows) if table.file else False
    return [cells(r, with_file=elsewhere) for r in table.rows]


def pair(value: Pair) -> str:
    """A square as one number."""
    return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"


def memory(size: float) -> str:
    """Bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def totals(table: ShapeTable) -> list[tuple[str, str]]:
    """The totals as labelled values."""
    found = [
        ("parameters", f"{table.parameters:,}"),
        ("MACs", f"{table.macs:,} an image (convolutions and dense layers, bias not counted)"),
        ("weights", memory(table.weight_bytes)),
        ("activations", f"{memory(table.peak_memory)} at the peak, an image"),
        ("semantic hash", table.hash),
    ]
    return [*found[:1], ("buffers", f"{table.buffers:,}"), *found[1:]] if table.buffers else found


def table_text(table: ShapeTable, width: int) -> str:
    """Aligned text that fits `width` columns where it can, with the totals below."""
    rows = all_cells(table)
    keep = list(range(len(HEADERS)))
    dropped = []
    for name in _SPARE:
        if max(map(len, columns(_pick(rows, keep)))) <= width:
            break
        dropped.append(name or "detail")
        keep.remove(HEADERS.index(name))
    right = {i for i, column in enumerate(keep) if column in _RIGHT}
    title = f"{table.name}  {table.dtype}[{', '.join(map(str, table.input))}]"
    note = [f"not shown for want of width: {', '.join(dropped)}"] if dropped else []
    foot = [f"{k:<15}{v}" for k, v in totals(table)]
    return "\n".join([title, "", *columns(_pick(rows, keep), right), "", *foot, *note])


def _pick(rows: list[tuple[str, ...]], keep: list[int]) -> list[list[str]]:
    return [[row[i] for i in keep] for row in (HEADERS, *rows)]


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines, columns two blanks apart, those in `right` flush right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(_align(c, w, i in right) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def _align(text: str, width: int, right: bool) -> str:  # noqa: FBT001
    return text.rjust(width) if right else text.ljust(width)


def table_markdown(table: ShapeTable) -> str:
    """A Markdown table with the totals below."""
    head = [h or "detail" for h in HEADERS]
    rule = ["---:" if i in _RIGHT else "---" for i in range(len(head))]
    lines = [head, rule, *all_cells(table)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    foot = "\n".join(f"- {k}: {v}" for k, v in totals(table))
    return f"{body}\n\n{foot}\n"


def table_csv(table: ShapeTable) -> str:
    """Comma-separated values, one line a layer, numbers without separators."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.rows[0].as_dict())
    for row in table.rows:
        values = row.as_dict().values()
        writer.writerow("x".join(map(str, v)) if isinstance(v, list) else v for v in values)
    return out.getvalue()


def table_html(table: ShapeTable) -> str:
    """What a notebook shows."""
    from html import escape

    head = "".join(f"<th>{h}</th>" for h in HEADERS)
    body = "".join("<tr>" + "".join(_cell(i, c) for i, c in enumerate(r)) + "</tr>" for r in all_cells(table))
    foot = "<br>".join(f"{k}: {escape(v)}" for k, v in totals(table))
    return f"<b>{escape(table.name)}</b><table><tr>{head}</tr>{body}</table><p>{foot}</p>"


def _cell(index: int, text: str) -> str:
    from html import escape

    align = "right" if index in _RIGHT else "left"
    return f'<td style="text-align:{align}">{escape(text)}</td>'
