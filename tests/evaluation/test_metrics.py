"""The numbers of an evaluation are those of scikit-learn, and ties go where `classify` puts them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nin_spec.evaluation.metrics import Evaluation, best, confusion, evaluation_of, mean_loss, ranks

Case = tuple[NDArray[np.float32], NDArray[np.int64]]


@st.composite
def cases(draw: st.DrawFn, *, ties: bool = False) -> Case:
    """Scores (n, C) and true classes (n,); with `ties`, few different scores."""
    images, classes = draw(st.integers(1, 30)), draw(st.integers(2, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = random.integers(0, 3, (images, classes)) if ties else random.normal(size=(images, classes)) * 4
    return scores.astype(np.float32), random.integers(0, classes, images)


def names(scores: NDArray[Any]) -> tuple[str, ...]:
    """A name for each class."""
    return tuple(f"c{k}" for k in range(scores.shape[1]))


@given(cases())
def test_the_numbers_are_those_of_scikit_learn(case: Case) -> None:
    """Confusion, accuracy, recall, precision, top-5 and cross-entropy."""
    scores, labels = case
    classes = np.arange(scores.shape[1])
    predicted = scores.argmax(1)
    found = evaluation_of(scores, labels, names(scores), "scores")
    assert found.confusion.tolist() == sklearn.metrics.confusion_matrix(labels, predicted, labels=classes).tolist()
    assert found.accuracy == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    for ours, theirs in (("recall", "recall_score"), ("precision", "precision_score")):
        score = getattr(sklearn.metrics, theirs)
        wanted = score(labels, predicted, labels=classes, average=None, zero_division=np.nan)
        got = [math.nan if (v := getattr(row, ours)) is None else v for row in found.per_class]
        np.testing.assert_allclose(got, wanted)
    if len(classes) > 5:
        wanted = sklearn.metrics.top_k_accuracy_score(labels, scores, k=5, labels=classes)
        assert found.top5 == pytest.approx(wanted)
    powers = np.exp(scores.astype(np.float64))
    wanted = sklearn.metrics.log_loss(labels, powers / powers.sum(1, keepdims=True), labels=classes)
    assert found.loss == pytest.approx(wanted)


@given(cases(ties=True))
def test_of_equal_scores_the_lowest_class_comes_first(case: Case) -> None:
    """As in a stable sort, which is what `nin-spec run` shows."""
    scores, labels = case
    order = np.argsort(-scores, axis=1, kind="stable")
    assert best(scores).tolist() == order[:, 0].tolist()
    assert ranks(scores, labels).tolist() == [row.tolist().index(k) for row, k in zip(order, labels, strict=True)]


@given(cases())
def test_the_loss_is_the_same_for_three_kinds_of_output(case: Case) -> None:
    """Raw scores, softmax and log-softmax in the network are one distribution."""
    scores, labels = case
    exact = scores.astype(np.float64)
    probabilities = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
    wanted = mean_loss(scores, labels, "scores")
    assert mean_loss(probabilities, labels, "probabilities") == pytest.approx(wanted)
    assert mean_loss(np.log(probabilities), labels, "log_probabilities") == pytest.approx(wanted)


def test_the_loss_is_unknown_where_the_scores_are() -> None:
    """Nothing is guessed."""
    assert mean_loss(np.zeros((1, 2)), np.zeros(1, np.int64), None) is None


def test_a_probability_of_zero_is_a_large_loss_and_not_an_infinite_one() -> None:
    """float32 rounds small probabilities to 0, and large scores do not overflow."""
    found = mean_loss(np.array([[1, 0]], np.float32), np.array([1]), "probabilities")
    assert found is not None
    assert 80 < found < 100
    assert mean_loss(np.array([[1e4, 0]], np.float32), np.array([1]), "scores") == pytest.approx(1e4)


def test_classes_without_pictures_have_no_recall() -> None:
    """Zero of zero is not a share; nor is precision for a class that was never predicted."""
    found = evaluation_of(np.array([[1.0, 0, 0], [1, 0, 0]]), np.array([0, 1]), ("a", "b", "c"), "scores")
    rows = [(r.label, r.images, r.correct, r.predicted, r.recall, r.precision) for r in found.per_class]
    assert rows == [("a", 1, 1, 2, 1.0, 0.5), ("b", 1, 0, 0, 0.0, None), ("c", 0, 0, 0, None, None)]


def test_top_5_of_five_classes_says_nothing() -> None:
    """It is None, not 100%."""
    assert evaluation_of(np.eye(5), np.arange(5), tuple("abcde"), "scores").top5 is None
    assert evaluation_of(np.eye(6), np.arange(6), tuple("abcdef"), "scores").top5 == 1


def test_plain_data_is_json() -> None:
    """No NumPy number among it, nothing that JSON lacks."""
    found = evaluation_of(np.eye(6)[::-1], np.arange(6), tuple("abcdef"), "scores")
    data = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert data["accuracy"] == 0
    assert data["images"] == 6
    assert data["per_class"][0] == {
        "label": "a",
        "images": 1,
        "correct": 0,
        "predicted": 1,
        "recall": 0.0,
        "precision": 0.0,
    }
    assert data["confusion"][0] == [0, 0, 0, 0, 0, 1]


def test_rows_are_true_classes() -> None:
    """Two pictures of class 0, both called 1."""
    table = confusion(np.array([0, 0]), np.array([1, 1]), 2)
    assert table.tolist() == [[0, 2], [0, 0]]
    assert table.dtype == np.int64
    assert Evaluation(("a", "b"), table, None, None).accuracy == 0
