"""Which pictures are held out: chosen class by class, by a rule that no version of any library changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.part import Numbers

Keys = NDArray[np.uint64]


def hold_out(labels: Numbers, share: float, seed: int) -> tuple[Numbers, Numbers]:
    """The numbers (kept, held) of the pictures, ascending; `share` of each class is held.

    Picture i has the key splitmix64(splitmix64(seed) + i), and the smallest keys of each class are held.
    Together round(share * n) are held: each class gives the whole part of its share, and those with the
    largest rest give one more. Raises ValueError unless 0 <= share < 1.
    """
    with np.errstate(over="ignore"):
        keys: Keys = np.arange(len(labels), dtype=np.uint64)
        keys += _splitmix(np.array([seed % (1 << 64)], np.uint64))
        return smallest(labels, share, _splitmix(keys))


def smallest(labels: Numbers, share: float, keys: Keys) -> tuple[Numbers, Numbers]:
    """`hold_out` by keys given: (kept, held). A class never gives its last picture."""
    if not 0 <= share < 1:
        raise ValueError(f"a share is at least 0 and less than 1, not {share}")
    held = np.zeros(len(labels), bool)
    order = np.lexsort((keys, labels))
    starts = np.searchsorted(labels[order], np.arange(len(quotas := _quotas(labels, share))))
    for start, quota in zip(starts, quotas, strict=True):
        held[order[start : start + quota]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _quotas(labels: Numbers, share: float) -> Numbers:
    """How many pictures each class gives."""
    counts = np.bincount(labels)
    exact = counts * share
    quotas = np.floor(exact).astype(np.int64)
    # Rounded, so that 0.1 * 30 and 3 leave the same rest wherever it is computed.
    rest = np.round(exact - quotas, 9)
    for k in np.lexsort((np.arange(len(counts)), -rest))[: max(0, round(len(labels) * share) - int(quotas.sum()))]:
        quotas[k] += 1
    capped: Numbers = np.minimum(quotas, np.maximum(counts - 1, 0))
    return capped


def _splitmix(x: Keys) -> Keys:
    """Sebastiano Vigna's splitmix64: a good mixture of 64 bits, by two multiplications."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
