"""The statistics of turns, against examples worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from bars import geometric_mean
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.bench.figures import Spread, ratios, spread_of

times = st.floats(1e-6, 1e3)


def test_quartiles_lie_between_numbers() -> None:
    """Of 1, 2, 3, 4 the quartiles are 1.75 and 3.25, as a quarter of the way from one to the next says."""
    assert spread_of([4, 1, 3, 2]) == Spread(median=2.5, low=1.75, high=3.25, least=1, most=4, count=4)
    assert spread_of([10, 30, 20, 50, 40]) == Spread(median=30, low=20, high=40, least=10, most=50, count=5)


def test_one_number_is_its_own_spread() -> None:
    """And none has no spread."""
    assert spread_of([7]) == Spread(7, 7, 7, 7, 7, 1)
    with pytest.raises(ValueError, match="no numbers"):
        spread_of([])


def test_ratios_are_taken_turn_by_turn() -> None:
    """Turns of medians 2, 30 and 5 over 4, 40 and 5: a machine ten times slower in one turn changes no ratio."""
    ours, theirs = [[2, 1, 3], [30, 30], [5]], [[4], [40, 39, 41], [5, 5]]
    found = ratios(ours, theirs)
    assert found.median == 0.75
    assert (found.least, found.most, found.count) == (0.5, 1.0, 3)


def test_a_turn_that_one_lacks_does_not_count() -> None:
    """As when it was stopped in the middle of one."""
    assert ratios([[1], [100]], [[2]]).count == 1


def test_the_geometric_mean_balances_a_half_and_a_double() -> None:
    """2 and 8 come to 4, a half and a double to 1."""
    assert geometric_mean([2, 8]) == pytest.approx(4)
    assert geometric_mean([0.5, 2]) == pytest.approx(1)


@given(st.lists(times, min_size=1), st.floats(1e-3, 1e3))
def test_a_unit_changes_no_shape(numbers: list[float], factor: float) -> None:
    """What is scaled is the spread of the scaled numbers, in order from least to most."""
    found = spread_of(numbers).scaled(factor)
    assert found.median == pytest.approx(spread_of([n * factor for n in numbers]).median)
    ordered = (found.least, found.low, found.median, found.high, found.most)
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(ordered))


@given(st.lists(times, min_size=1, max_size=9))
def test_the_mean_of_inverses_is_the_inverse(numbers: list[float]) -> None:
    """So it doesn't matter who is divided by whom."""
    inverse = geometric_mean([1 / n for n in numbers])
    assert math.isclose(inverse, 1 / geometric_mean(numbers), rel_tol=1e-9)
