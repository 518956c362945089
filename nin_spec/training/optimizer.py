"""The recipe's optimiser: parameter groups and learning rate schedules."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from nin_spec.language.recipe import Recipe, Schedule, StepSchedule
from nin_spec.recipe_names import fits

Aliases = Callable[[str], Iterable[str]]
"""The names of a parameter in a recipe."""

_RISE, _START, _END = 0.3, 25.0, 1e4


def build_optimizer(
    named: Iterable[tuple[str, nn.Parameter]], recipe: Recipe, aliases: Aliases
) -> torch.optim.Optimizer:
    """PyTorch's optimiser over the parameters, one group per learning rate and weight decay.

    A group's `base_lr` is the recipe's learning rate times the multiplier of its parameters; `set_rates` sets `lr` from
    it at each step.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        names = tuple(aliases(name))
        groups.setdefault((multiplier(recipe, names), decays(recipe, names)), []).append(parameter)
    o = recipe.optimizer
    made = [
        {
            "params": group,
            "base_lr": o.lr * factor,
            "lr": o.lr * factor,
            "weight_decay": o.weight_decay if decay else 0.0,
        }
        for (factor, decay), group in groups.items()
    ]
    if o.kind == "sgd":
        return torch.optim.SGD(made, lr=o.lr, momentum=o.momentum, nesterov=o.nesterov, fused=True)
    kind = torch.optim.AdamW if o.kind == "adamw" else torch.optim.Adam
    return kind(made, lr=o.lr, betas=(o.betas[0], o.betas[1]), eps=o.eps, fused=True)


def multiplier(recipe: Recipe, names: Iterable[str]) -> float:
    """The factor on the learning rate of a parameter with these names; the last matching pattern counts."""
    fitting = [factor for pattern, factor in recipe.lr_multipliers.items() if fits(pattern, names)]
    return fitting[-1] if fitting else 1.0


def decays(recipe: Recipe, names: Iterable[str]) -> bool:
    """Whether weight decay applies to a parameter with these names."""
    return not any(fits(pattern, names) for pattern in recipe.no_decay)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def rate_factor(schedule: Schedule, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor on the learning rate at `step` (from 0) of `steps_per_epoch * epochs`."""
    warmup, total = schedule.warmup * steps_per_epoch, steps_per_epoch * epochs
    if schedule.kind == "one_cycle":
        return _one_cycle(step, total, warmup or _RISE * total)
    if step < warmup:
        return (step + 1) / (math.floor(warmup) + 1)
    if isinstance(schedule, StepSchedule):
        passed = bisect_right(sorted(m * steps_per_epoch for m in schedule.milestones), step)
        return float(schedule.gamma**passed)
    if schedule.kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
    return 1.0


def _one_cycle(step: int, total: int, rise: float) -> float:
    peak = max(rise - 1, 0.0)
    if step <= peak and peak > 0:
        return _along_cosine(1 / _START, 1.0, step / peak)
    return _along_cosine(1.0, 1 / _START / _END, (step - peak) / max(total - 1 - peak, 1))


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))


def state_of(optimizer: torch.optim.Optimizer, named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, torch.Tensor]:
    """The optimiser state, as `parameter/quantity` -> tensor."""
    return {
        f"{name}/{key}": value
        for name, parameter in named
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, torch.Tensor)
    }


def restore_state(
    optimizer: torch.optim.Optimizer, named: Sequence[tuple[str, nn.Parameter]], state: dict[str, torch.Tensor]
) -> bool:
    """Restore the result of `state_of`; returns False, restoring nothing, if it belongs to other parameters."""
    by_name: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        name, _, quantity = key.rpartition("/")
        by_name.setdefault(name, {})[quantity] = value
    shapes = {name: parameter.shape for name, parameter in named}
    if any(
        name not in shapes or value.shape not in {shapes[name], ()}
        for name, of in by_name.items()
        for value in of.values()
    ):
        return False
    for name, parameter in named:
        for quantity, value in by_name.get(name, {}).items():
            # Step counters stay on their device; moments get the device and the memory format of their parameter.
            home = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
            optimizer.state[parameter][quantity] = home.copy_(value)
    return True
