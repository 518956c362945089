"""Ranked classes: the order, the labels, and probabilities only where the model says what its scores are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper
from small_models import FLOAT, content, other_graph

from nin_spec.diagnostics import Code, InputError
from nin_spec.runtime.classify import BATCH, classify, probabilities_of, stack
from nin_spec.runtime.session import open_session


def inputs(count: int, *sizes: int) -> list[tuple[str, Any]]:
    """Named inputs (3, size, size), the sizes taken in turn."""
    rng = np.random.default_rng(2)
    sizes = sizes or (8,)
    return [(f"x{k}", rng.normal(size=(3, *[sizes[k % len(sizes)]] * 2)).astype(np.float32)) for k in range(count)]


def test_classes_are_ranked_by_score() -> None:
    """Best first, ranks from 1, each score its class's, labels by index."""
    labels = ["ant", "bee", "cat", "dog"]
    session = open_session(content(metadata={"labels": labels}), "cpu")
    ((name, x),) = inputs(1)
    (found,) = classify(session, [(name, x)], top=3)
    scores = session.run(x[None])[0]
    order = np.argsort(-scores)[:3]
    assert found.name == "x0"
    assert [row.rank for row in found.rows] == [1, 2, 3]
    assert [row.index for row in found.rows] == order.tolist()
    assert [row.label for row in found.rows] == [labels[k] for k in order]
    assert [row.score for row in found.rows] == scores[order].tolist()


def test_without_labels_the_index_is_the_label() -> None:
    """A model that names nothing gets numbers; asking for more classes than there are gives them all."""
    (found,) = classify(open_session(content(), "cpu"), inputs(1), top=99)
    assert [row.label for row in found.rows] == [str(row.index) for row in found.rows]
    assert len(found.rows) == 4


def test_equal_scores_keep_the_order_of_the_classes() -> None:
    """Ties are broken by index, the same way everywhere."""
    ones = [("ones", np.ones((3, 3, 3), np.float32))]  # the ReLU makes half of the scores zero
    (found,) = classify(open_session(content(("N", 3, 3, 3), classes=100), "cpu"), ones, top=100)
    assert (found.scores == 0).sum() > 20
    assert [row.index for row in found.rows] == sorted(range(100), key=lambda k: (-found.scores[k], k))


def test_probabilities_need_the_model_to_say_what_its_scores_are() -> None:
    """A model without the key gets raw scores only."""
    (found,) = classify(open_session(content(), "cpu"), inputs(1))
    assert {row.probability for row in found.rows} == {None}
    assert probabilities_of(np.zeros(3), None) is None


@pytest.mark.parametrize(
    ("output", "tail"), [("scores", None), ("probabilities", "Softmax"), ("log_probabilities", "LogSoftmax")]
)
def test_three_kinds_of_output_give_the_same_probabilities(output: str, tail: str | None) -> None:
    """Raw scores, softmax and log-softmax in the network are one distribution."""
    given = inputs(2)
    raw = stack(classify(open_session(content(), "cpu"), given)).astype(np.float64)
    expected = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    session = open_session(content(metadata={"output": output}, tail=tail), "cpu")
    for found, row in zip(classify(session, given, top=4), expected, strict=True):
        for best in found.rows:
            assert best.probability == pytest.approx(row[best.index], rel=1e-5)


def test_large_scores_do_not_overflow() -> None:
    """The softmax is computed from differences."""
    found = probabilities_of(np.array([1e4, 0.0, -1e4], np.float32), "scores")
    assert found is not None
    assert found.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("batch", ["N", 1, 4, 5])
def test_batches_change_nothing(batch: int | str) -> None:
    """Open batch or fixed, filled or not: the scores of each input, in order."""
    given = inputs(9)
    single = open_session(content(), "cpu")
    expected = np.concatenate([single.run(x[None]) for _, x in given])
    found = classify(open_session(content((batch, 3, 8, 8)), "cpu"), given)
    assert [p.name for p in found] == [name for name, _ in given]
    np.testing.assert_allclose(stack(found), expected, rtol=1e-5, atol=1e-6)


def test_more_inputs_than_a_batch_and_mixed_sizes() -> None:
    """Inputs of several sizes go through an open model in their order."""
    session = open_session(content(("N", 3, "H", "W")), "cpu")
    given = [*inputs(BATCH + 3), *inputs(5, 8, 11)]
    found = classify(session, given)
    expected = np.concatenate([session.run(x[None]) for _, x in given])
    np.testing.assert_allclose(stack(found), expected, rtol=1e-5, atol=1e-6)


def test_no_inputs_give_no_predictions() -> None:
    """An empty list is not an error."""
    assert classify(open_session(content(), "cpu"), []) == []


def test_a_model_that_gives_maps_is_refused() -> None:
    """A graph whose output isn't one score a class is not a classifier."""
    relu = [helper.make_node("Relu", ["input"], ["scores"])]
    shape = [1, 3, 8, 8]
    model = other_graph(relu, [("input", FLOAT, shape)], [("scores", FLOAT, shape)])
    with pytest.raises(InputError, match="not one score per class") as caught:
        classify(open_session(model, "cpu"), inputs(1))
    assert caught.value.diagnostics[0].code is Code.MODEL_UNREADABLE
