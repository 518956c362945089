"""The wrong pictures: all of them, in the order of how sure the network was, and by the names that people know."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nin_spec.data import open_split
from nin_spec.data.arrays import ArraySplit
from nin_spec.data.split import names_of
from nin_spec.data.views import sample, subset
from nin_spec.evaluation.mistakes import mistakes_of
from nin_spec.training.evaluated import confused_pairs

SCORES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.05, 0.9], [0.6, 0.3, 0.1], [0.4, 0.4, 0.2]])


def part(labels: NDArray[np.int64]) -> ArraySplit:
    """Pictures of these classes."""
    return ArraySplit("noise", "test", "memory", ("a", "b", "c"), labels, lambda k: np.zeros((len(k), 2, 2), np.uint8))


def test_the_surest_come_first() -> None:
    """With what was said, and the probability that the true class had; a right picture is none of them."""
    found = mistakes_of(SCORES, part(np.array([0, 0, 0, 1, 1])), "probabilities", 10)
    assert [(m.file, m.true, m.said, m.probability, m.own) for m in found] == [
        ("test[2]", "a", "c", 0.9, 0.05),
        ("test[1]", "a", "b", 0.7, 0.2),
        ("test[3]", "b", "a", 0.6, 0.3),
        ("test[4]", "b", "a", 0.4, 0.4),
    ]
    assert mistakes_of(SCORES, part(np.array([0, 0, 0, 1, 1])), "probabilities", 2) == found[:2]
    assert mistakes_of(SCORES, part(SCORES.argmax(1)), "probabilities", 10) == ()


@pytest.mark.parametrize("output", ["scores", "log_probabilities", None])
def test_any_kind_of_score_has_the_same_mistakes(output: str | None) -> None:
    """Without a kind by the distance of the scores, and with no probability."""
    labels = np.array([0, 0, 0, 1, 1])
    found = mistakes_of(np.log(SCORES + 1e-9), part(labels), output, 10)  # type: ignore[arg-type]
    assert {m.index for m in found} == {1, 2, 3, 4}
    assert found[0].index == 2
    assert (found[0].probability is None) == (output is None)


def test_names_are_files_where_there_are_files(tmp_path: Path) -> None:
    """Below the split's folder; else the index in the split, in a view too."""
    for split_name, label, k in itertools.product(("train", "test"), "ab", range(3)):
        path = tmp_path / "pets" / split_name / label / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), k).save(path)
    split = open_split("pets", "test", tmp_path / "pets")
    assert names_of(subset(split, np.array([4, 0])), np.array([0])) == ["b/1.png"]
    digits = open_split("digits", "test", None)
    view = sample(digits, 50, 0)
    (name,) = names_of(view, np.array([7]))
    assert name.startswith("test[")
    assert name != "test[7]"


def test_pairs_are_those_most_often_confused() -> None:
    """Ten at most, the right ones left out."""
    assert confused_pairs([[5, 1, 0], [3, 9, 1], [0, 0, 2]]) == [(1, 0, 3), (0, 1, 1), (1, 2, 1)]
    assert len(confused_pairs(np.ones((9, 9), int).tolist())) == 10
