"""An exponential moving average of the weights, which is what a run evaluates and keeps (`train.ema`).

After n steps the average moves by 1 - min(decay, (1 + n) / (10 + n)) towards the weights, as TensorFlow's
ExponentialMovingAverage does: a short training is not dominated by its start. The statistics of batch norms are
averaged in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Average:
    """The average of a module's floating-point parameters and buffers, by name."""

    decay: float
    values: dict[str, Tensor] = field(repr=False)

    @classmethod
    def of(cls, module: nn.Module, decay: float) -> Average:
        """One that begins at the module's weights."""
        return cls(decay, {name: tensor.detach().clone() for name, tensor in _averaged(module).items()})

    @torch.no_grad()
    def follow(self, module: nn.Module, steps: int) -> None:
        """Move towards the weights after so many steps."""
        own = _averaged(module)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(self.values.values()), [own[name].detach() for name in self.values], 1 - decay)

    def restore(self, tensors: Mapping[str, Tensor]) -> bool:
        """Take the values of a checkpoint; False, taking none, if they are of other tensors."""
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in self.values.items()}:
            return False
        for name, value in self.values.items():
            value.copy_(tensors[name])
        return True

    @contextmanager
    def in_place_of(self, module: nn.Module) -> Iterator[None]:
        """The module with the average as its weights, which are as before afterwards, bit for bit."""
        own = _averaged(module)
        kept = {name: tensor.detach().clone() for name, tensor in own.items()}
        try:
            _copy(self.values, own)
            yield
        finally:
            _copy(kept, own)


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)


def _averaged(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
