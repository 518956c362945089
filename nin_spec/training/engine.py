"""What computes a step: the module, the optimiser and the device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nin_spec.torch_module import NiNModule
from nin_spec.training.average import Average
from nin_spec.training.feed import Feed
from nin_spec.training.loss import Loss
from nin_spec.training.random_layers import StepContext
from nin_spec.training.world import World


@dataclass(frozen=True)
class Engine:
    """`called` is the module that steps call, compiled and distributed; `bare` is the same without either.

    `average` follows the weights of `bare`, if the recipe has one.
    """

    called: nn.Module
    bare: NiNModule
    optimizer: torch.optim.Optimizer
    feed: Feed
    context: StepContext
    autocast: Callable[[], contextlib.AbstractContextManager[None]]
    world: World
    loss: Loss
    average: Average | None = None

    def scored(self) -> contextlib.AbstractContextManager[None]:
        """While it lasts, `bare` has the weights that are evaluated: the average, if there is one."""
        return contextlib.nullcontext() if self.average is None else self.average.in_place_of(self.bare)
