"""How far results are apart, and how far they may be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nin_spec.runtime.tolerances import relative_difference

SCORES = np.array([[1.0, -4.0, 2.0]], np.float32)


def test_a_difference_is_relative_to_the_largest_score() -> None:
    """0.2 of 4 is a twentieth."""
    assert relative_difference(SCORES + np.float32(0.2), SCORES) == pytest.approx(0.05)
    assert relative_difference(np.zeros((1, 3)), np.zeros((1, 3))) == 0
    assert relative_difference(np.zeros((1, 3), np.float32), np.full((1, 3), 1e-40)) < 1e-30
    assert relative_difference(np.zeros((1, 3), np.float32), np.full((1, 3), 1e-37)) == 1
    assert relative_difference(np.zeros((1, 3)), np.full((1, 3), 1e-40)) == 1


@pytest.mark.parametrize("got", [SCORES[:, :2], SCORES[0], np.full_like(SCORES, np.nan)])
def test_another_shape_and_no_number_are_infinitely_far(got: NDArray[np.float32]) -> None:
    """Whatever the tolerance."""
    assert relative_difference(got, SCORES) == float("inf")
