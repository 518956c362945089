"""The shape table in LaTeX."""

from __future__ import annotations

import re

from nin_spec.analysis.tables import ShapeTable, cells
from nin_spec.latex import escaped

_COLUMNS = ("Layer", "Operator", "Detail", "Output", "Parameters", "MACs", "Field")
_PRODUCT = re.compile(r"(?<=\d)x(?=\d)")


def table_latex(table: ShapeTable) -> str:
    r"""A `tabular` for the package booktabs, one row per layer, the totals below the second rule.

    Of the columns of `nin-spec build` it has those that a paper shows: up to the receptive field.
    """
    rows = [_line(*(_product(cell) for cell in cells(row)[: len(_COLUMNS)])) for row in table.rows]
    total = _line("Total", "", "", "", f"{table.parameters:,}", f"{table.macs:,}", "")
    lines = [
        r"% Written by nin-spec. It needs \usepackage{booktabs}.",
        f"% {table.name}, {'x'.join(map(str, table.input))}, {table.hash}",
        r"\begin{tabular}{@{}llllrrr@{}}",
        r"  \toprule",
        _line(*_COLUMNS),
        r"  \midrule",
        *rows,
        r"  \midrule",
        total,
        r"  \bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _line(*texts: str) -> str:
    return "  " + re.sub(" +", " ", " & ".join(texts)).rstrip() + r" \\"


def _product(text: str) -> str:
    """A cell with the multiplication sign between numbers."""
    return escaped(_PRODUCT.sub("×", text))
