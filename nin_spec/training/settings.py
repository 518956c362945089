"""How to run a recipe. What is learned depends on the recipe alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a recipe is run: `train(network, settings=TrainSettings(device="cpu", threads=2))`.

    `precision` None is the recipe's. `accumulate` is the number of micro-batches per batch, for machines with little
    memory; the batch size, and so the recipe, stays the same. `limit` uses only so many pictures of each split,
    stratified by class. A checkpoint is written after each epoch, and every `checkpoint_minutes`. Without `charts` the
    run folder has no curves.png and no tensorboard/, which saves time in short runs.
    """

    device: str = "auto"
    precision: Precision | None = None
    threads: int | None = None
    accumulate: int = 1
    compile: bool = False
    channels_last: bool = True
    limit: int | None = None
    checkpoint_minutes: float = 5.0
    charts: bool = True
