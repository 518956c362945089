"""The loss of a recipe: cross-entropy with label smoothing, class weights, and the labels of mixed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 the field's name
from torch import Tensor

from nin_spec.data.split import Indices
from nin_spec.diagnostics import Code, TrainingError, did_you_mean, short
from nin_spec.language.recipe import Recipe
from nin_spec.network import Network
from nin_spec.training.mixing import Mixture


@dataclass(frozen=True, slots=True)
class Loss:
    """Summed over a micro-batch. `weights` (classes,) is on the device of the scores; None for equal ones."""

    smoothing: float
    weights: Tensor | None = None

    def __call__(self, scores: Tensor, labels: Tensor, mixture: Mixture | None = None) -> tuple[Tensor, Tensor]:
        """The sum of the losses, and how many predictions are right: of the label with the larger share."""
        if mixture is None:
            right = (scores.detach().argmax(1) == labels).sum()
            if self.weights is None:
                return F.cross_entropy(scores, labels, reduction="sum", label_smoothing=self.smoothing), right
            return self._each(scores, labels).sum(), right
        others = torch.from_numpy(mixture.labels).to(labels.device)
        shares = torch.from_numpy(mixture.shares).to(scores)
        loss = shares * self._each(scores, labels) + (1 - shares) * self._each(scores, others)
        larger = torch.where(shares >= 0.5, labels, others)
        return loss.sum(), (scores.detach().argmax(1) == larger).sum()

    def _each(self, scores: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(scores, labels, reduction="none", label_smoothing=self.smoothing)
        return losses if self.weights is None else losses * self.weights[labels]


def weights_of(recipe: Recipe, labels: Sequence[str], learned: Indices) -> np.ndarray | None:
    """The weight of each class, (classes,) in float64; None if all are 1.

    With `balance: loss` a class of n pictures among N in all, of k classes with pictures, weighs N / (k n): the mean
    over the pictures is 1. `class_weights` multiplies it.
    """
    if recipe.balance != "loss" and not recipe.class_weights:
        return None
    found = np.array([recipe.class_weights.get(label, 1.0) for label in labels])
    if recipe.balance == "loss":
        counts = np.bincount(learned, minlength=len(labels))
        found = found * len(learned) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return found


def require_classes(network: Network, labels: Sequence[str]) -> None:
    """Raise TrainingError for a class weight of a class that the data set does not have."""
    recipe = network.spec.spec.train
    for name in recipe.class_weights if recipe is not None else ():
        if name not in labels:
            message = f"train.class_weights: the data set has no class {short(name)!r}"
            span = network.spec.where("train", "class_weights", name)
            raise TrainingError(Code.RECIPE, message, span, did_you_mean(name, labels))
