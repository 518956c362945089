"""What computes a step: the module as it is called, the optimiser, and where they run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from nin_spec.torch_module import NiNModule
from nin_spec.training.feed import Feed
from nin_spec.training.random_layers import Moment
from nin_spec.training.world import World


@dataclass(frozen=True)
class Engine:
    """`called` is the module as steps call it, compiled and distributed; `bare` the same without either."""

    called: nn.Module
    bare: NiNModule
    optimizer: torch.optim.Optimizer
    feed: Feed
    moment: Moment
    autocast: Callable[[], contextlib.AbstractContextManager[None]]
    world: World
