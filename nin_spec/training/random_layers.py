"""Dropout whose masks depend on seed, step and place alone.

PyTorch's own draws from a generator whose state runs on: a resumed run, or a process that computes half
a batch, would draw other masks. Here each step's generator is made anew, the mask of the whole batch is
drawn, and the rows at hand are taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(slots=True)
class Moment:
    """Where training is: set by the loop before each piece, read by the layers."""

    seed: int
    step: int = 0
    start: int = 0
    stop: int = 1
    total: int = 1


class KeyedDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) of elements, or of whole channels, keyed by the moment."""

    def __init__(self, p: float, place: int, moment: Moment, *, channels: bool) -> None:
        super().__init__()
        self.p, self.place, self.moment, self.channels = p, place, moment, channels

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # generators are outside what it compiles
    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to the same, scaled by 1 / (1 - p) so that the mean stays."""
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0.0
        now, keep = self.moment, 1 - self.p
        # Maps are drawn with their channels last, whatever the layout: a layout changes no number.
        channels, *cells = x.shape[1:]
        shape = (now.total, channels) if self.channels else (now.total, *cells, channels)
        mask = self._uniform(shape, x.device)[now.start : now.stop].lt(keep).to(x.dtype).div_(keep)
        return x * (mask.reshape(*mask.shape, *[1] * len(cells)) if self.channels else mask.movedim(-1, 1))

    def _uniform(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Numbers in [0, 1) for the whole batch, of this moment and place."""
        key = f"{self.moment.seed}/{self.moment.step}/{self.place}".encode()
        seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
        if device.type == "cpu":  # four times as fast as PyTorch's generator, which draws on one thread too
            return torch.from_numpy(np.random.Generator(np.random.PCG64DXSM(seed)).random(shape, np.float32))
        return torch.rand(shape, device=device, generator=torch.Generator(device).manual_seed(seed))


def key_dropout(module: nn.Module, moment: Moment) -> None:
    """Replace PyTorch's dropout layers by keyed ones, in place."""
    found = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Dropout | nn.Dropout2d)]
    for place, (name, layer) in enumerate(found):
        above, _, last = name.rpartition(".")
        keyed = KeyedDropout(layer.p, place, moment, channels=isinstance(layer, nn.Dropout2d))
        setattr(module.get_submodule(above), last, keyed.train(layer.training))
