"""What computes a step: the module, the optimiser and the device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nin_spec.torch_module import NiNModule
from nin_spec.training.feed import Feed
from nin_spec.training.random_layers import StepContext
from nin_spec.training.world import World


@dataclass(frozen=True)
class Engine:
    """`called` is the module that steps call, compiled and distributed; `bare` is the same without either."""

    called: nn.Module
    bare: NiNModule
    optimizer: torch.optim.Optimizer
    feed: Feed
    context: StepContext
    autocast: Callable[[], contextlib.AbstractContextManager[None]]
    world: World
