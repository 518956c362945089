"""Scores of the network after an epoch, on pictures that it is not trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 the field's name

from nin_spec.data import Frame, Split
from nin_spec.data.ahead import read_ahead
from nin_spec.data.split import Indices, Pixels
from nin_spec.training.engine import Engine

_BATCH = 256


class Scorer:
    """Loss and accuracy over a split, in the training's precision, divided among the processes."""

    def __init__(self, split: Split, frame: Frame, prefix: str) -> None:
        self.split, self.frame, self.prefix = split, frame, prefix

    def __call__(self, engine: Engine) -> dict[str, float]:
        """`PREFIX_loss` and `PREFIX_accuracy`; the module is left in evaluation mode."""
        engine.called.eval()
        found = torch.zeros(2, dtype=torch.float64, device=engine.feed.device)
        with torch.no_grad():
            for pictures, labels in self._batches(engine.world.rank, engine.world.size):
                with engine.autocast():
                    scores = engine.bare(engine.feed(pictures))
                target = torch.from_numpy(labels).to(engine.feed.device)
                scores = scores.float() if scores.dtype == torch.bfloat16 else scores
                found[0] += F.cross_entropy(scores, target, reduction="sum")
                found[1] += (scores.argmax(1) == target).sum()
        loss, correct = engine.world.total(found).tolist()
        return {f"{self.prefix}_loss": loss / len(self.split), f"{self.prefix}_accuracy": correct / len(self.split)}

    def _batches(self, rank: int, ranks: int) -> Iterator[tuple[Pixels, Indices]]:
        """This process's pictures, prefetched."""
        mine = np.arange(rank, len(self.split), ranks)
        cuts = [mine[k : k + _BATCH] for k in range(0, len(mine), _BATCH)]
        pictures = read_ahead(lambda chosen: self.split.pictures(chosen, self.frame), cuts)
        yield from zip(pictures, (self.split.labels[chosen] for chosen in cuts), strict=True)
