"""Which pictures are held out: stratified by class, independent of any library's version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.split import Indices

Keys = NDArray[np.uint64]


def hold_out(labels: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    """The indices (kept, held) of the pictures, ascending; the fraction `share` of each class is held out.

    Picture i has the key splitmix64(splitmix64(seed) + i), and the smallest keys of each class are held out,
    round(share * n) in total: each class gives the integer part of its share, and those with the largest remainder one
    more. Raises ValueError unless 0 <= share < 1.
    """
    with np.errstate(over="ignore"):
        keys: Keys = np.arange(len(labels), dtype=np.uint64)
        keys += _splitmix(np.array([seed % (1 << 64)], np.uint64))
        return smallest(labels, share, _splitmix(keys))


def smallest(labels: Indices, share: float, keys: Keys) -> tuple[Indices, Indices]:
    """`hold_out` with given keys: (kept, held). A class keeps at least one picture."""
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and less than 1, not {share}")
    held = np.zeros(len(labels), bool)
    order = np.lexsort((keys, labels))
    starts = np.searchsorted(labels[order], np.arange(len(quotas := _quotas(labels, share))))
    for start, quota in zip(starts, quotas, strict=True):
        held[order[start : start + quota]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _quotas(labels: Indices, share: float) -> Indices:
    """The number of held-out pictures per class."""
    counts = np.bincount(labels)
    exact = counts * share
    quotas = np.floor(exact).astype(np.int64)
    # Rounded, so that 0.1 * 30 and 3 have the same remainder on every platform.
    rest = np.round(exact - quotas, 9)
    for k in np.lexsort((np.arange(len(counts)), -rest))[: max(0, round(len(labels) * share) - int(quotas.sum()))]:
        quotas[k] += 1
    capped: Indices = np.minimum(quotas, np.maximum(counts - 1, 0))
    return capped


def _splitmix(x: Keys) -> Keys:
    """Sebastiano Vigna's splitmix64: mixes 64 bits by two multiplications."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
