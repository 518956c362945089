"""Only contenders that compute the same are compared."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nin_spec.bench.sameness import TOLERANCES, Judge, difference, tolerance

SCORES = np.array([[1.0, -4.0, 2.0]], np.float32)


def test_a_difference_is_relative_to_the_largest_score() -> None:
    """0.2 of 4 is a twentieth."""
    assert difference(SCORES + np.float32(0.2), SCORES) == pytest.approx(0.05)
    assert difference(np.zeros((1, 3)), np.zeros((1, 3))) == 0


@pytest.mark.parametrize("got", [SCORES[:, :2], SCORES[0], np.full_like(SCORES, np.nan)])
def test_another_shape_and_no_number_are_infinitely_far(got: NDArray[np.float32]) -> None:
    """Whatever the tolerance."""
    assert difference(got, SCORES) == float("inf")


def test_the_first_is_the_measure_of_the_others() -> None:
    """What rounding does is allowed; another function is named with what it was held against."""
    judge = Judge()
    assert judge.objection("ours", 1, "float32", SCORES) is None
    assert judge.objection("near", 1, "float32", SCORES * np.float32(1.00001)) is None
    objection = judge.objection("other", 1, "float32", SCORES[:, ::-1])
    assert objection is not None
    assert "scores differ from those of ours" in objection
    assert judge.objection("other", 8, "float32", SCORES[:, ::-1]) is None, "another batch has its own first"


def test_a_coarse_precision_is_allowed_its_rounding_on_either_side() -> None:
    """bfloat16 may be held against float32, or float32 against bfloat16."""
    off = SCORES * np.float32(1.02)
    for first, second in (("float32", "bfloat16"), ("bfloat16", "float32")):
        judge = Judge()
        judge.objection("first", 1, first, SCORES)
        assert judge.objection("second", 1, second, off) is None


def test_a_precision_that_nobody_knows_gets_no_more_than_float32() -> None:
    """A tolerance can't be had by a word in a file's metadata."""
    assert tolerance("float7") == TOLERANCES["float32"]
