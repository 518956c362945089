"""The fitted temperature is the one that a minimiser of SciPy finds, and exists for any pictures that say something."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from nin_spec.evaluation.calibrating import fit_temperature
from nin_spec.evaluation.metrics import evaluation_of


def likelihood(scores: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """The negative log-likelihood; without an error 1 / (n + 2) of the probability is for the other classes."""
    count, classes = scores.shape
    others = 0 if (scores.argmax(1) != labels).any() else 1 / (count + 2)
    targets = np.full((count, classes), others / (classes - 1))
    targets[np.arange(count), labels] = 1 - others
    return float(-(targets * log_softmax(scores / temperature, axis=1)).sum(1).mean())


def sampled(count: int, classes: int, temperature: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores, and classes drawn by the probabilities that they have at a temperature."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(count, classes)) * 3
    noise = random.gumbel(size=scores.shape)
    return scores, (scores / temperature + noise).argmax(1)


@given(
    st.integers(20, 300), st.integers(2, 12), st.floats(0.1, 8), st.integers(0, 1000), st.sampled_from([1e-3, 1, 1e3])
)
def test_it_is_the_minimum(count: int, classes: int, temperature: float, seed: int, unit: float) -> None:
    """No temperature near it, and none that SciPy finds, has a lower negative log-likelihood."""
    scores, labels = sampled(count, classes, temperature, seed)
    found = fit_temperature(scores * unit, labels)
    if found is None:  # a small sample may say the opposite of what it was drawn from
        assert likelihood(scores, labels, 1e5) <= min(likelihood(scores, labels, t) for t in (0.1, 1, 10, 100)) + 1e-9
        return
    bounds = (np.log(1e-3 * unit), np.log(1e4 * unit))
    theirs = minimize_scalar(lambda x: likelihood(scores * unit, labels, np.exp(x)), bounds=bounds, method="bounded")
    assert likelihood(scores * unit, labels, found) <= theirs.fun + 1e-9


@pytest.mark.parametrize("temperature", [0.2, 1.0, 4.0])
def test_it_finds_what_the_classes_were_drawn_with(temperature: float) -> None:
    """And the calibration error is small afterwards, and no predicted class is another one."""
    scores, labels = sampled(20_000, 10, temperature, 0)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    names = tuple("abcdefghij")
    before, after = (evaluation_of(scores / t, labels, names, "scores") for t in (1.0, temperature))
    assert after.ece is not None
    assert after.ece < 0.02
    assert before.confusion.tolist() == after.confusion.tolist()


def test_pictures_without_an_error_have_a_temperature() -> None:
    """The likelihood alone would make it zero: the targets leave room for an error that has not been seen yet."""
    scores = np.eye(10)[np.arange(144) % 10] * 2.0
    found = fit_temperature(scores, np.arange(144) % 10)
    assert found is not None
    sure = np.exp(log_softmax(scores / found, axis=1)).max()
    assert sure == pytest.approx(1 - 1 / 146)


def test_scores_that_say_nothing_have_none() -> None:
    """Whether they are all equal, or point to the wrong class."""
    labels = np.arange(30) % 3
    assert fit_temperature(np.zeros((30, 3)), labels) is None
    assert fit_temperature(-np.eye(3)[labels], labels) is None


def test_many_rows_are_one_sum() -> None:
    """More than are computed at once."""
    scores, labels = sampled(20_000, 3, 2.0, 1)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(fit_temperature(np.tile(scores, (2, 1)), np.tile(labels, 2)), rel=1e-3)
