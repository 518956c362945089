"""From pictures in memory to the network's input, on the device that computes."""

from __future__ import annotations

import torch
from torch import Tensor

from nin_spec.data.part import Pixels
from nin_spec.model import Preprocessing


class Feed:
    """Applies the preprocessing contract on a device: the numbers of `nin_spec.pictures.normalise`, bit for bit."""

    def __init__(
        self, contract: Preprocessing, dtype: torch.dtype, device: torch.device, layout: torch.memory_format
    ) -> None:
        self.dtype, self.device, self.layout = dtype, device, layout
        self.flipped = contract.color == "bgr"
        self.scale = torch.tensor(contract.scale, dtype=dtype, device=device)
        self.mean, self.std = (
            torch.tensor(v, dtype=dtype, device=device).reshape(1, -1, 1, 1) for v in (contract.mean, contract.std)
        )

    def __call__(self, pictures: Pixels) -> Tensor:
        """(n, H, W, C) bytes to (n, C, H, W) numbers."""
        x = torch.from_numpy(pictures if pictures.flags.writeable else pictures.copy())
        x = x.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        x = x.flip(1) if self.flipped else x
        x = x.to(self.dtype, memory_format=self.layout)
        return x.mul_(self.scale).sub_(self.mean).div_(self.std)
