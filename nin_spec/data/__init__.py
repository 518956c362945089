"""Data sets: opened by name or place, read lazily, checked before they are believed.

part = open_part("cifar10", "train", Path("cifar-10-batches-bin"))
part = match_classes(part, card.labels, card.classes)
kept, held = hold_out(part.labels, 0.1, seed=0)
x = normalise(part.pictures(kept[:128], Frame(3, 32, 32)), card.preprocessing, "float32")
"""

from __future__ import annotations

from nin_spec.data.arrays import ArrayPart
from nin_spec.data.checks import check_headers, check_part, fingerprint
from nin_spec.data.matching import match_classes
from nin_spec.data.opening import open_part
from nin_spec.data.part import Numbers, Part, PartName
from nin_spec.data.split import hold_out
from nin_spec.data.views import sample, subset
from nin_spec.pictures import Frame, Pixels, frame_of, normalise

__all__ = [
    "ArrayPart",
    "Frame",
    "Numbers",
    "Part",
    "PartName",
    "Pixels",
    "check_headers",
    "check_part",
    "fingerprint",
    "frame_of",
    "hold_out",
    "match_classes",
    "normalise",
    "open_part",
    "sample",
    "subset",
]
