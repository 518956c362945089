"""Where two runtimes differ: which pictures, what each says, and by how little."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nin_spec.data import Split
from nin_spec.data.arrays import ArraySplit
from nin_spec.evaluation.agreement import SHOWN, Disagreement, agreement_of


def of(labels: NDArray[np.int64]) -> Split:
    """Pictures of these classes."""
    return ArraySplit("noise", "test", "memory", ("a", "b", "c"), labels, lambda k: np.zeros((len(k), 2, 2), np.uint8))


def test_the_same_scores_agree() -> None:
    """Everywhere, by 0."""
    scores = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    found = agreement_of(scores, scores, of(np.zeros(9, np.int64)))
    assert found.complete
    assert (found.images, found.same, found.max_difference, found.first) == (9, 9, 0.0, ())


def test_a_difference_that_changes_no_class_is_measured_only() -> None:
    """The largest of all scores counts."""
    scores = np.eye(3, dtype=np.float32)
    found = agreement_of(scores, scores + np.float32(0.25), of(np.arange(3)))
    assert found.complete
    assert found.max_difference == 0.25


def test_disagreements_name_the_picture_and_both_classes() -> None:
    """With the true class, and how far apart torch's scores of the two are."""
    torch = np.array([[1.0, 0, 0], [0, 1, 0.75], [0, 0, 1]])
    other = torch.copy()
    other[1] = [0, 0.75, 1]
    found = agreement_of(torch, other, of(np.array([0, 0, 2])))
    assert not found.complete
    assert found.first == (Disagreement(image=1, file="test[1]", true=0, torch=1, onnxruntime=2, margin=0.25),)
    assert found.as_dict()["first"] == [
        {"image": 1, "file": "test[1]", "true": 0, "torch": 1, "onnxruntime": 2, "margin": 0.25}
    ]


def test_equal_scores_are_no_disagreement() -> None:
    """In both the lowest class counts: a dead network agrees with itself."""
    assert agreement_of(np.zeros((5, 3)), np.zeros((5, 3)), of(np.zeros(5, np.int64))).complete


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 5])
def test_the_first_twenty_are_named(count: int) -> None:
    """All are counted."""
    torch = np.tile([[1.0, 0]], (count, 1))
    found = agreement_of(torch, 1 - torch, of(np.zeros(count, np.int64)))
    assert found.same == 0
    assert [d.image for d in found.first] == list(range(SHOWN))
