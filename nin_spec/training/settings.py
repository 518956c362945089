"""What a person chooses beside the recipe: how to run it. The recipe alone says what is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a recipe is run: `train(network, settings=TrainSettings(device="cpu", threads=2))`.

    `precision` None is the recipe's. `accumulate` computes each batch in so many pieces, for machines
    with little memory; the batch, and so the recipe, stays the same. `limit` takes so many pictures of
    each part only, of each class alike. A checkpoint is written after each epoch, and every `checkpoint_minutes`.
    """

    device: str = "auto"
    precision: Precision | None = None
    threads: int | None = None
    accumulate: int = 1
    compile: bool = False
    channels_last: bool = True
    limit: int | None = None
    checkpoint_minutes: float = 5.0
