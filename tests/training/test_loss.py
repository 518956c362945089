"""The loss beside PyTorch's own, which takes class weights and probabilities of classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from small_parts import small_network

from nin_spec.diagnostics import TrainingError
from nin_spec.language.recipe import Recipe
from nin_spec.training.loss import Loss, require_classes, weights_of
from nin_spec.training.mixing import Mixture

SCORES = torch.randn((12, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 4
OTHERS = (torch.arange(12) * 5 + 1) % 4
SHARES = np.linspace(0, 1, 12)


def recipe(**changes: object) -> Recipe:
    """A recipe with other keys."""
    plain = {"dataset": "digits", "epochs": 1, "optimizer": {"kind": "adam"}}
    return Recipe.model_validate({**plain, **changes})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_and_weighted(smoothing: float) -> None:
    loss, right = Loss(smoothing)(SCORES, LABELS)
    assert torch.equal(loss, F.cross_entropy(SCORES, LABELS, reduction="sum", label_smoothing=smoothing))
    assert right == (SCORES.argmax(1) == LABELS).sum()
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5], dtype=torch.float64)
    loss, _ = Loss(smoothing, weights)(SCORES, LABELS)
    each = F.cross_entropy(SCORES, LABELS, reduction="none", label_smoothing=smoothing)
    assert loss.item() == pytest.approx(sum(float(weights[y] * each[k]) for k, y in enumerate(LABELS)))
    if not smoothing:
        assert torch.allclose(loss, F.cross_entropy(SCORES, LABELS, weights, reduction="sum"))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_mixture_is_cross_entropy_with_the_shares_as_probabilities(smoothing: float) -> None:
    mixture = Mixture(OTHERS.numpy(), SHARES, SHARES)
    loss, right = Loss(smoothing)(SCORES, LABELS, mixture)
    shares = torch.from_numpy(SHARES)[:, None]
    target = shares * F.one_hot(LABELS, 4) + (1 - shares) * F.one_hot(OTHERS, 4)
    assert torch.allclose(loss, F.cross_entropy(SCORES, target, reduction="sum", label_smoothing=smoothing))
    larger = torch.where(shares[:, 0] >= 0.5, LABELS, OTHERS)
    assert right == (SCORES.argmax(1) == larger).sum()


def test_balanced_weights_have_a_mean_of_one_over_the_pictures() -> None:
    """Each class then has the same weight in all; a class without pictures changes nothing."""
    learned = np.array([0] * 30 + [1] * 10 + [3] * 20)
    found = weights_of(recipe(balance="loss"), ["a", "b", "c", "d"], learned)
    assert found is not None
    assert found[learned].mean() == pytest.approx(1)
    assert [found[c] * (learned == c).sum() for c in (0, 1, 3)] == pytest.approx([20, 20, 20])
    doubled = weights_of(recipe(balance="loss", class_weights={"b": 2}), ["a", "b", "c", "d"], learned)
    assert doubled is not None
    assert (doubled / found).tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("balance", ["none", "sampling"])
def test_without_weights_there_are_none(balance: str) -> None:
    assert weights_of(recipe(balance=balance), ["a", "b"], np.array([0, 1, 1])) is None


def test_a_class_that_the_data_set_lacks_is_reported_at_its_key() -> None:
    network = small_network("none", 0.0, "train.class_weights={'7': 2, seven: 3}")
    with pytest.raises(TrainingError, match="the data set has no class 'seven'") as caught:
        require_classes(network, [str(k) for k in range(10)])
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert span.source.name == "--set"
