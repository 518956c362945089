"""Covering designs: no combination is lost, and few rows are left."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nin_spec.conformance.covering import Row, combined, covering
from nin_spec.conformance.suite import _CONVOLUTIONS, _PREPROCESSING

tables = st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(0, 4), min_size=1, unique=True), min_size=2)


def pairs(rows: list[Row], strength: int) -> set[Any]:
    """Every combination that is in a row."""
    return {each for row in rows for each in combinations(sorted(row.items()), strength)}


@given(tables, st.integers(1, 3), st.data())
def test_no_combination_is_lost(values: dict[str, list[int]], strength: int, data: st.DataObject) -> None:
    """Of any rows."""
    everything = list(combined(values))
    rows = data.draw(st.lists(st.sampled_from(everything), min_size=1, max_size=60))
    chosen = [rows[k] for k in covering(rows, strength)]
    assert pairs(chosen, strength) == pairs(rows, strength)


def test_few_rows_are_left() -> None:
    """Of 4**5 rows, 16 at best; never more than twice as many."""
    rows = list(combined({key: range(4) for key in "abcde"}))
    assert len(rows) == 4**5
    assert len(covering(rows, 2)) <= 32
    assert len(covering(rows, 1)) <= 8


def test_the_sample_of_a_large_table_has_every_pair() -> None:
    """Of convolutions, which have too many combinations to list."""
    for table in (_CONVOLUTIONS, _PREPROCESSING):
        rows = list(combined(table))
        count = sum(len(a) * len(b) for a, b in combinations(table.values(), 2))
        assert len(pairs(rows, 2)) == count
