"""The bundled data set: 1,797 handwritten digits of 8x8 pixels.

They are the test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0; in the order of
scikit-learn's load_digits, repacked as IDX. A pixel counts the dark ones of a 4x4 cell: 0 to 16.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from nin_spec.data.arrays import ArraySplit
from nin_spec.data.held_out import hold_out
from nin_spec.data.idx import pair_up
from nin_spec.data.split import SplitName

_HERE = Path(__file__).resolve().parent
_SCALED = ((np.arange(256) * 255 + 8) // 16).clip(0, 255).astype(np.uint8)
"""0..16 to 0..255, rounded."""
TEST_SHARE, SEED = 0.2, 0


@cache
def open_digits(split: SplitName) -> ArraySplit:
    """A fixed fifth of each class is the test split; the rest is the training split."""
    images, labels = (_HERE / f"digits-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    every = pair_up("digits", split, images, labels, tuple("0123456789"))
    chosen = hold_out(every.labels, TEST_SHARE, SEED)[split == "test"]
    mine = every.labels[chosen]
    mine.setflags(write=False)
    where = "the digits bundled with nin-spec"
    return ArraySplit("digits", split, where, every.classes, mine, lambda k: _SCALED[every.read(chosen[k])])
