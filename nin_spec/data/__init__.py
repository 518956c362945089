"""Data sets: opened by name or path, read lazily, and validated.

split = open_split("cifar10", "train", Path("cifar-10-batches-bin"))
split = match_classes(split, card.labels, card.classes)
kept, held = hold_out(split.labels, 0.1, seed=0)
x = normalise(split.pictures(kept[:128], Frame(3, 32, 32)), card.preprocessing, "float32")
"""

from __future__ import annotations

from nin_spec.data.arrays import ArraySplit
from nin_spec.data.checks import check_headers, check_split, fingerprint
from nin_spec.data.held_out import hold_out
from nin_spec.data.matching import match_classes
from nin_spec.data.opening import open_split
from nin_spec.data.split import Indices, Split, SplitName
from nin_spec.data.views import sample, subset
from nin_spec.pictures import Frame, Pixels, frame_of, normalise

__all__ = [
    "ArraySplit",
    "Frame",
    "Indices",
    "Pixels",
    "Split",
    "SplitName",
    "check_headers",
    "check_split",
    "fingerprint",
    "frame_of",
    "hold_out",
    "match_classes",
    "normalise",
    "open_split",
    "sample",
    "subset",
]
