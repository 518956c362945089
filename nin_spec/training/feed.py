"""From pictures in memory to the network's input, on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nin_spec.model import Preprocessing
from nin_spec.pictures import Pixels


@dataclass
class Feed:
    """Applies `preprocess` on a device, bit-identical to `nin_spec.pictures.normalise`.

    `channels` is the network's: gray pictures are copied to each. `layout` is the memory format.
    """

    contract: Preprocessing
    channels: int
    dtype: torch.dtype
    device: torch.device
    layout: torch.memory_format

    def __post_init__(self) -> None:
        self.scale = self._numbers(self.contract.scale)
        self.mean = self._numbers(self.contract.mean).reshape(1, -1, 1, 1)
        self.std = self._numbers(self.contract.std).reshape(1, -1, 1, 1)

    def _numbers(self, values: float | tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def __call__(self, pictures: Pixels) -> Tensor:
        """(n, H, W, C) uint8 to (n, channels, H, W) floats."""
        x = torch.from_numpy(pictures if pictures.flags.writeable else pictures.copy())
        x = x.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        x = x.flip(1) if self.contract.color == "bgr" else x
        x = x.expand(-1, self.channels, -1, -1).to(self.dtype).contiguous(memory_format=self.layout)
        return x.mul_(self.scale).sub_(self.mean).div_(self.std)
