"""Only contenders that compute the same are compared."""

from __future__ import annotations

import numpy as np

from nin_spec.bench.sameness import TOLERANCES, Judge, tolerance

SCORES = np.array([[1.0, -4.0, 2.0]], np.float32)


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


def test_an_unknown_precision_gets_the_tolerance_of_float32() -> None:
    """A word in a file's metadata can't raise the tolerance."""
    assert tolerance("float7") == TOLERANCES["float32"]
