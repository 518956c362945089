"""A small data set in memory, as the training sees one, and small networks to train on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import nin_spec
from nin_spec.data import Frame
from nin_spec.data.split import Indices, Pixels, SplitName
from nin_spec.network import Network


@dataclass
class Memory:
    """Pictures (n, H, W, C) in memory."""

    stored: Pixels
    labels: Indices
    classes: tuple[str, ...] = ("a", "b")
    dataset: str = "memory"
    name: SplitName = "train"
    where: str = "memory"
    asked: list[Frame] = field(default_factory=list)

    def pictures(self, indices: Indices, frame: Frame) -> Pixels:
        """The pictures, unresized."""
        self.asked.append(frame)
        return self.stored[indices]

    def __len__(self) -> int:
        return len(self.labels)


def numbered(count: int, size: int = 4, channels: int = 1) -> Memory:
    """Pictures whose every pixel holds the picture's number."""
    pictures = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, channels)
    ).copy()
    return Memory(pictures, np.arange(count, dtype=np.int64) % 2)


SMALL = """
spec: 1
name: small
input: {channels: 1, size: 8}
classes: 10
defaults: {norm: %s, init: kaiming_normal}
blocks:
  - {channels: [12, 12], kernel: 3, padding: 1, dropout: %s, pool: {kind: max, kernel: 2, stride: 2}}
  - kernel: 3
    padding: 1
    convs: [12, {channels: classes, norm: none, activation: none}]
head: {pool: global_avg}
train:
  dataset: digits
  batch_size: 128
  epochs: 2
  seed: 3
  optimizer: {kind: sgd, lr: 0.05, momentum: 0.9}
  augment: {pad_and_crop: 1, flip: true}
"""


def small_network(norm: str = "none", dropout: float = 0.0, *overrides: str) -> Network:
    """A network that learns the digits a little in a second."""
    return nin_spec.compile(nin_spec.loads(SMALL % (norm, dropout), "small.yaml", overrides))


def small_spec(folder: Path, norm: str = "none", dropout: float = 0.0) -> Path:
    """The same as a file."""
    path = folder / "small.yaml"
    path.write_text(SMALL % (norm, dropout))
    return path


EVERYTHING = (
    "train.augment={pad_and_crop: 0, resized_crop: 0.5, erase: 0.3, mixup: 0.4, cutmix: 1.0}",
    "train.augment.jitter={brightness: 0.3, contrast: 0.3}",
    "train.ema.decay=0.9",
    "train.balance=loss",
    "train.class_weights={'3': 2}",
    "train.time_limit=1000",
)
"""Overrides for all that a recipe may change on pictures, loss and weights at once."""
