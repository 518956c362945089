"""Dropout whose masks depend on seed, step and place alone.

PyTorch's own draws from a generator whose state runs on: a resumed run, or a process that computes half
a batch, would draw other masks. Here each step's generator is made anew, the mask of the whole batch is
drawn, and the rows at hand are taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

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
        now = self.moment
        shape = (now.total, x.shape[1]) if self.channels else (now.total, *x.shape[1:])
        layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
        mask = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
        mask.bernoulli_(1 - self.p, generator=self._generator(x.device)).div_(1 - self.p)
        mask = mask[now.start : now.stop]
        return x * (mask.reshape(*mask.shape, *[1] * (x.ndim - 2)) if self.channels else mask)

    def _generator(self, device: torch.device) -> torch.Generator:
        key = f"{self.moment.seed}/{self.moment.step}/{self.place}".encode()
        number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
        return torch.Generator(device).manual_seed(number)


def key_dropout(module: nn.Module, moment: Moment) -> None:
    """Replace PyTorch's dropout layers by keyed ones, in place."""
    found = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Dropout | nn.Dropout2d)]
    for place, (name, layer) in enumerate(found):
        above, _, last = name.rpartition(".")
        keyed = KeyedDropout(layer.p, place, moment, channels=isinstance(layer, nn.Dropout2d))
        setattr(module.get_submodule(above), last, keyed.train(layer.training))
