"""Dropout with masks that depend on seed, step and layer only.

PyTorch's dropout draws from a generator with running state: a resumed run, or a process that computes half a batch,
would draw different masks. Here each step has a new generator, the mask of the whole batch is drawn, and the current
rows are taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(slots=True)
class StepContext:
    """The current step and rows: set by the loop before each micro-batch, read by the layers."""

    seed: int
    step: int = 0
    start: int = 0
    stop: int = 1
    total: int = 1


class KeyedDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) of elements, or of whole channels, keyed by the step context."""

    def __init__(self, p: float, index: int, context: StepContext, *, channels: bool) -> None:
        super().__init__()
        self.p, self.index, self.context, self.channels = p, index, context, channels

    # torch._dynamo, which this loads, must be there before a process group is: else gloo's threads outlive the group.
    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch.compile does not support generators
    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same shape, scaled by 1 / (1 - p) to preserve the mean."""
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0.0
        now, keep = self.context, 1 - self.p
        # Maps are drawn channels last in any memory format, so that the format does not affect values.
        channels, *cells = x.shape[1:]
        shape = (now.total, channels) if self.channels else (now.total, *cells, channels)
        mask = self._uniform(shape, x.device)[now.start : now.stop].lt(keep).to(x.dtype).div_(keep)
        return x * (mask.reshape(*mask.shape, *[1] * len(cells)) if self.channels else mask.movedim(-1, 1))

    def _uniform(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Uniform values in [0, 1) for the whole batch, for this step and layer."""
        key = f"{self.context.seed}/{self.context.step}/{self.index}".encode()
        seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
        if device.type == "cpu":  # four times as fast as PyTorch's generator, which is single-threaded too
            return torch.from_numpy(np.random.Generator(np.random.PCG64DXSM(seed)).random(shape, np.float32))
        return torch.rand(shape, device=device, generator=torch.Generator(device).manual_seed(seed))


def key_dropout(module: nn.Module, context: StepContext) -> None:
    """Replace PyTorch's dropout layers by keyed ones, in place."""
    found = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Dropout | nn.Dropout2d)]
    for index, (name, layer) in enumerate(found):
        above, _, last = name.rpartition(".")
        keyed = KeyedDropout(layer.p, index, context, channels=isinstance(layer, nn.Dropout2d))
        setattr(module.get_submodule(above), last, keyed.train(layer.training))
