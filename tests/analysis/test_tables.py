"""The shape table as text, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io

import pytest

import nin_spec
from nin_spec.analysis import tables
from nin_spec.analysis.shapes import analyse
from nin_spec.analysis.tables import ShapeTable
from nin_spec.language.load import load
from nin_spec.lower import lower


@pytest.fixture(scope="module")
def table() -> ShapeTable:
    """The table of a shipped network."""
    return analyse(lower(load("nin_cifar_bn")), "nin1:hash")


def test_text_fits_its_width(table: ShapeTable) -> None:
    """Columns are left out one by one, named below, until the lines fit; what matters most stays."""
    for width in (80, 90, 100, 120, 150, 1000):
        text = tables.table_text(table, width)
        head, foot = text.split("\n\n")[1], text.rsplit("\n\n", 1)[1]
        assert max(map(len, head.splitlines())) <= width
        assert ("columns hidden" in foot) == ("jump" not in head.splitlines()[0])
        for column in ("layer", "op", "output", "parameters"):
            assert column in head.splitlines()[0]


def test_text_is_aligned(table: ShapeTable) -> None:
    """Every line of the body has its numbers flush right under one header."""
    lines = tables.table_text(table, 1000).split("\n\n")[1].splitlines()
    end = lines[0].index("MACs") + len("MACs")
    row = next(line for line in lines if "blocks.0.convs.0" in line)
    assert row[:end].endswith("14,745,600")


def test_markdown_is_a_table(table: ShapeTable) -> None:
    """Every line has the same number of cells."""
    lines = [line for line in tables.table_markdown(table).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(tables.HEADERS) + 1}
    assert len(lines) == len(table.rows) + 2


def test_csv_reads_back(table: ShapeTable) -> None:
    """One line a layer, numbers without separators."""
    rows = list(csv.DictReader(io.StringIO(tables.table_csv(table))))
    assert [int(r["parameters"]) for r in rows] == [r.parameters for r in table.rows]
    assert [r["output_shape"] for r in rows] == ["x".join(map(str, r.output_shape)) for r in table.rows]


def test_html_is_escaped(table: ShapeTable) -> None:
    """A notebook shows the table; a name can't put anything else there."""
    text = ShapeTable("<script>", "<b>", table.input, table.dtype, table.rows)._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert table._repr_html_().count("<tr>") == len(table.rows) + 1


def test_lines_of_another_file_bear_its_name() -> None:
    """Where a spec extends another, the line column says which file it counts in."""
    base, child = nin_spec.compile("nin_cifar"), nin_spec.compile("nin_cifar_author")
    assert "nin_cifar.yaml:" not in str(base.table)
    assert "nin_cifar.yaml:26" in str(child.table)
    assert "nin_cifar_author.yaml:" in str(child.table)
