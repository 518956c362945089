"""Layers that a recipe freezes: parameters that no step changes, and batch norms that keep their statistics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

import torch.nn.functional as F  # noqa: N812 the field's name
from torch import Tensor, nn

from nin_spec.diagnostics import Code, TrainingError
from nin_spec.network import Network
from nin_spec.recipe_names import aliases, covers
from nin_spec.training.folder import StartRecord, recipe_of
from nin_spec.weights.naming import listed

AnyNorm = nn.BatchNorm1d | nn.BatchNorm2d
STATISTICS = ("running_mean", "running_var")


class EvaluatedNorm(nn.Module):
    """Batch norm with its running statistics, in training too; the parameters and buffers of a BatchNorm1d or 2d."""

    def __init__(self, norm: AnyNorm) -> None:
        super().__init__()
        self.eps, self.momentum = norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        for name in (*STATISTICS, "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        mean, var = cast("Tensor", self.running_mean), cast("Tensor", self.running_var)
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)


def replace_norms(module: nn.Module, make: Callable[[str, AnyNorm], nn.Module | None]) -> None:
    """Replace batch norms in place by what `make` returns for a name and a norm; None keeps one."""
    for name, norm in [(n, m) for n, m in module.named_modules() if isinstance(m, AnyNorm)]:
        if (made := make(name, norm)) is not None:
            above, _, last = name.rpartition(".")
            setattr(module.get_submodule(above), last, made)


def frozen_names(network: Network) -> frozenset[str]:
    """The parameters and statistics that the recipe freezes. Raises TrainingError if no parameter is left."""
    patterns, spec = recipe_of(network).freeze, network.spec.spec
    parameters = network.graph.parameters()
    names = {name for name in parameters if any(covers(pattern, aliases(name, spec)) for pattern in patterns)}
    if names >= {name for name, p in parameters.items() if p.trainable}:
        message, span = "train.freeze leaves no parameter to train", network.spec.where("train", "freeze")
        raise TrainingError(Code.RECIPE, message, span, "freeze fewer layers")
    return frozenset(names)


def freeze(module: nn.Module, names: Collection[str]) -> None:
    """Freeze parameters by name, and a batch norm if one of its statistics is named, in place."""
    for name, parameter in module.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    replace_norms(
        module,
        lambda name, norm: EvaluatedNorm(norm) if any(f"{name}.{s}" in names for s in STATISTICS) else None,
    )


def doubts(frozen: Collection[str], start: StartRecord | None) -> list[str]:
    """A warning about weights that are frozen as the seed drew them."""
    fresh = [name for name in sorted(frozen) if start is None or start.origins[name] != "carried"]
    if not fresh:
        return []
    return [f"frozen, but fresh: {listed(fresh, 3)}; pass --weights to start from trained ones"]
