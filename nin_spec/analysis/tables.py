"""The shape table, and how it is printed: as text, Markdown and CSV, and in a notebook."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nin_spec.ir.types import Pair
from nin_spec.language.shorthand import short_pair
from nin_spec.notebook import Facts, Part, Table, view
from nin_spec.printing import columns, memory, pair

MACS_CONVENTION = "multiply-accumulates of convolutions and dense layers, bias not counted"
HEADERS = ("layer", "op", "", "output", "parameters", "MACs", "field", "jump", "memory", "line")
_RIGHT = {4, 5, 6, 7, 8, 9}
_SPARE = ("jump", "memory", "line", "field", "MACs", "")
"""Columns to leave out, in this order, when the terminal is too narrow for all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer. Shapes exclude the batch axis; memory is that of its output for one image, in bytes."""

    name: str
    op: str
    detail: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: Pair
    jump: Pair
    memory: int
    line: int | None
    file: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data; square fields as one number."""
        return {
            "name": self.name,
            "op": self.op,
            "detail": self.detail,
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "macs": self.macs,
            "receptive_field": short_pair(self.receptive_field),
            "jump": short_pair(self.jump),
            "activation_bytes": self.memory,
            "line": self.line,
            "file": self.file,
        }


@dataclass(frozen=True)
class ShapeTable:
    """Every layer of a network in order, and the totals.

    `buffers` counts running statistics; `peak_memory` is the largest input and output of one layer together,
    in bytes for one image; `file` is the compiled spec; a row's own file may differ.
    """

    name: str
    hash: str
    input: tuple[int, ...]
    dtype: str
    rows: tuple[Row, ...] = field(repr=False)
    buffers: int = 0
    peak_memory: int = 0
    file: str | None = None

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(r.parameters for r in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(r.macs for r in self.rows)

    @property
    def weight_bytes(self) -> int:
        """Memory of parameters and running statistics."""
        return (self.parameters + self.buffers) * (8 if self.dtype == "float64" else 4)

    def as_dict(self) -> dict[str, Any]:
        """The table in the form of `build --format json`."""
        return {
            "name": self.name,
            "hash": self.hash,
            "input": list(self.input),
            "dtype": self.dtype,
            "layers": [r.as_dict() for r in self.rows],
            "totals": {
                "parameters": self.parameters,
                "buffers": self.buffers,
                "macs": self.macs,
                "weight_bytes": self.weight_bytes,
                "activation_bytes": sum(r.memory for r in self.rows),
                "peak_activation_bytes": self.peak_memory,
                "receptive_field": short_pair(self.rows[-1].receptive_field),
            },
            "macs_convention": MACS_CONVENTION,
        }

    def stages(self) -> ShapeTable:
        """The same network with each block's convolutions as one row, `block`."""
        groups: list[list[Row]] = []
        for row in self.rows:
            if groups and _stage(row) is not None and _stage(row) == _stage(groups[-1][0]):
                groups[-1].append(row)
            else:
                groups.append([row])
        rows = tuple(_fold(g) for g in groups)
        return replace(self, rows=rows)

    def __str__(self) -> str:
        return table_text(self, 1000)

    @property
    def input_text(self) -> str:
        """The type of its input: `float32[3, 32, 32]`."""
        return f"{self.dtype}[{', '.join(map(str, self.input))}]"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Rows and totals, as a notebook shows them."""
        return Table(HEADERS, all_cells(self), _RIGHT), Facts(totals(self))

    def _repr_html_(self) -> str:
        return view(f"{self.name}  {self.input_text}", *self.parts)


def _stage(row: Row) -> str | None:
    """The block of a step around a convolution; None for a separate step."""
    top, _, rest = row.name.partition(".")
    index, _, step = rest.partition(".")
    alone = top != "blocks" or step in ("pool", "dropout", "norm", "activation", "shuffle")
    return None if alone else f"{top}.{index}"


def _fold(rows: list[Row]) -> Row:
    last = rows[-1]
    if _stage(last) is None:
        return last
    widths = [str(r.output_shape[0]) for r in rows if r.op == "Conv2d"]
    return Row(
        _stage(last) or last.name,
        "block",
        "-".join(widths),
        last.output_shape,
        sum(r.parameters for r in rows),
        sum(r.macs for r in rows),
        last.receptive_field,
        last.jump,
        sum(r.memory for r in rows),
        rows[0].line,
        rows[0].file,
    )


# ------------------------------------------------------------------ printed


def cells(row: Row, *, with_file: bool = False) -> tuple[str, ...]:
    """A row as text; `with_file` adds the line's file."""
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
    """Every row; lines include their file if a spec extends another."""
    elsewhere = any(r.file not in {None, table.file} for r in table.rows) if table.file else False
    return [cells(r, with_file=elsewhere) for r in table.rows]


def totals(table: ShapeTable) -> list[tuple[str, str]]:
    """The totals as labelled values."""
    found = [
        ("parameters", f"{table.parameters:,}"),
        ("MACs", f"{table.macs:,} per image (convolutions and dense layers, bias not counted)"),
        ("weights", memory(table.weight_bytes)),
        ("activations", f"{memory(table.peak_memory)} at the peak, per image"),
        ("semantic hash", table.hash),
    ]
    return [*found[:1], ("buffers", f"{table.buffers:,}"), *found[1:]] if table.buffers else found


def table_text(table: ShapeTable, width: int) -> str:
    """Aligned text, within `width` columns if possible, with the totals below."""
    rows = all_cells(table)
    keep = list(range(len(HEADERS)))
    dropped = []
    for name in _SPARE:
        if max(map(len, columns(_pick(rows, keep)))) <= width:
            break
        dropped.append(name or "detail")
        keep.remove(HEADERS.index(name))
    right = {i for i, column in enumerate(keep) if column in _RIGHT}
    title = f"{table.name}  {table.input_text}"
    note = [f"columns hidden (terminal too narrow): {', '.join(dropped)}"] if dropped else []
    foot = [f"{k:<15}{v}" for k, v in totals(table)]
    return "\n".join([title, "", *columns(_pick(rows, keep), right), "", *foot, *note])


def _pick(rows: list[tuple[str, ...]], keep: list[int]) -> list[list[str]]:
    return [[row[i] for i in keep] for row in (HEADERS, *rows)]


def table_markdown(table: ShapeTable) -> str:
    """A Markdown table with the totals below."""
    head = [h or "detail" for h in HEADERS]
    rule = ["---:" if i in _RIGHT else "---" for i in range(len(head))]
    lines = [head, rule, *all_cells(table)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    foot = "\n".join(f"- {k}: {v}" for k, v in totals(table))
    return f"{body}\n\n{foot}\n"


def table_csv(table: ShapeTable) -> str:
    """Comma-separated values, one line per layer, numbers without separators."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.rows[0].as_dict())
    for row in table.rows:
        values = row.as_dict().values()
        writer.writerow("x".join(map(str, v)) if isinstance(v, list) else v for v in values)
    return out.getvalue()
