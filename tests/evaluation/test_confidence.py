"""Confidence: the calibration error by its definition, and the risk that is left if the unsure are not answered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nin_spec.evaluation.confidence import BINS, confidence_of
from nin_spec.evaluation.metrics import evaluation_of, log_probabilities, probabilities
from nin_spec.runtime.metadata import Output

Case = tuple[NDArray[np.float64], NDArray[np.bool_]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Confidences (n,), some of them on the edge of a bin or equal, and which are right (n,)."""
    values = st.one_of(st.floats(0, 1), st.integers(0, BINS).map(lambda k: k / BINS))
    sure = draw(st.lists(values, min_size=1, max_size=250))
    right = draw(st.lists(st.booleans(), min_size=len(sure), max_size=len(sure)))
    return np.array(sure), np.array(right)


@given(cases())
def test_the_calibration_error_is_that_of_its_definition(case: Case) -> None:
    """Guo et al. 2017, equation 3: bins of equal width, each with its upper edge."""
    sure, right = case
    found = confidence_of(sure, right)
    error, images = 0.0, 0
    for k, made in enumerate(found.bins):
        inside = (sure > k / BINS) & (sure <= (k + 1) / BINS) | ((k == 0) & (sure == 0))
        assert (made.images, made.correct) == (inside.sum(), right[inside].sum())
        images += made.images
        if inside.any():
            assert made.confidence == pytest.approx(sure[inside].mean())
            error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert images == len(sure)
    assert found.ece == pytest.approx(error)
    assert found.mean == pytest.approx(sure.mean())


@given(cases(), st.randoms())
def test_the_curve_does_not_depend_on_the_order(case: Case, random: object) -> None:
    """It ends at all pictures with their errors; and pictures of one confidence are one, in any order."""
    sure, right = case
    found = confidence_of(sure, right)
    order = np.array(sorted(range(len(sure)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    again = confidence_of(sure[order], right[order])
    assert [p.risk for p in again.curve] == pytest.approx([p.risk for p in found.curve])
    assert again.aurc == pytest.approx(found.aurc)
    last = found.curve[-1]
    assert (last.coverage, last.threshold) == (1.0, sure.min())
    assert last.risk == pytest.approx(1 - right.mean())
    assert found.risk_at(1.0) == last.risk
    assert len(found.curve) <= 100
    thresholds = [p.threshold for p in found.curve]
    assert thresholds == sorted(thresholds, reverse=True)


def test_the_risk_of_the_surest() -> None:
    """Errors among the unsure alone are gone if only the surest are answered."""
    sure, right = np.array([0.9, 0.8, 0.6, 0.5]), np.array([True, True, True, False])
    found = confidence_of(sure, right)
    assert [(p.coverage, p.risk, p.threshold) for p in found.curve] == [
        (0.25, 0, 0.9),
        (0.5, 0, 0.8),
        (0.75, 0, 0.6),
        (1, 0.25, 0.5),
    ]
    assert (found.risk_at(0.6), found.aurc) == (0, 0.0625)


def test_who_is_always_right_and_sure_has_no_error() -> None:
    """And who is sure and wrong has the greatest."""
    assert confidence_of(np.ones(9), np.ones(9, bool)).ece == 0
    assert confidence_of(np.ones(9), np.zeros(9, bool)).ece == 1


@pytest.mark.parametrize("output", ["scores", "probabilities", "log_probabilities"])
def test_every_kind_of_score_has_the_same_confidence(output: Output) -> None:
    """Scores, their probabilities, and the logarithms of those are one evaluation; an unknown kind has none."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(50, 7)) * 3
    labels = random.integers(0, 7, 50)
    forms = {
        "scores": scores,
        "probabilities": probabilities(scores, "scores"),
        "log_probabilities": log_probabilities(scores, "scores"),
    }
    wanted = evaluation_of(scores, labels, tuple("abcdefg"), "scores")
    found = evaluation_of(forms[output], labels, tuple("abcdefg"), output)
    assert found.ece == pytest.approx(wanted.ece)
    assert found.loss == pytest.approx(wanted.loss)
    unknown = evaluation_of(scores, labels, tuple("abcdefg"), None)
    assert (unknown.confidence, unknown.ece, unknown.loss) == (None, None, None)
