"""What each output of a file should be."""

from __future__ import annotations

import numpy as np
import pytest

from nin_spec.runtime.expected import expected_outputs, probabilities

SCORES = np.array([[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]])


@pytest.mark.parametrize("kind", ["scores", "log_probabilities"])
def test_probabilities_are_the_softmax_of_what_is_not_normalised_yet(kind: str) -> None:
    """Of log-probabilities it is their exponential."""
    own = SCORES - np.log(np.exp(SCORES).sum(1, keepdims=True)) if kind == "log_probabilities" else SCORES
    np.testing.assert_allclose(probabilities(own, kind), np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True))


def test_a_probability_is_taken_as_it_is() -> None:
    """No second softmax."""
    assert probabilities(SCORES, "probabilities") is SCORES


@pytest.mark.parametrize(
    ("classes", "right"),
    [
        ([[1, 2], [2, 0]], True),
        ([[1, 2], [2, 1]], True),  # equal scores have no order
        ([[2, 1], [2, 0]], False),
        ([[1, 1], [2, 0]], False),
        ([[1, 9], [2, 0]], False),
        ([[1, -1], [2, 0]], False),
    ],
)
def test_classes_are_compared_by_what_they_score(classes: list[list[int]], right: bool) -> None:  # noqa: FBT001
    """Distinct, there, and in order of their probabilities."""
    values = -np.sort(-SCORES, 1)[:, :2]
    found = {"top_probabilities": values, "top_classes": np.array(classes)}
    pairs = expected_outputs(SCORES, "probabilities", found)
    assert np.allclose(*pairs["top_probabilities"])
    assert np.allclose(*pairs["top_classes"]) is right


def test_maps_are_compared_where_the_network_has_them() -> None:
    """With those of the reference; without any they are an unknown output."""
    maps = np.zeros((2, 3, 4, 5))
    found = {"scores": SCORES, "maps": maps}
    assert expected_outputs(SCORES, "scores", found, maps + 1)["maps"][1].mean() == 1
    assert set(expected_outputs(SCORES, "scores", found)) == {"scores"}


def test_unknown_outputs_are_left_out() -> None:
    """What no rule covers is not promised."""
    assert set(expected_outputs(SCORES, "scores", {"scores": SCORES, "other": SCORES})) == {"scores"}
