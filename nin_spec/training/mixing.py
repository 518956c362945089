"""Mixup and cutmix: each picture is mixed with another of its batch, and the loss with that one's label.

Mixup (Zhang et al. 2018) is a weighted mean of two pictures; cutmix (Yun et al. 2019) replaces a rectangle by the other
picture's. The share of the own picture is drawn from a beta distribution, for each picture on its own. With both, each
picture gets one of them, equally often.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.split import Indices, Pixels
from nin_spec.language.recipe import Augment
from nin_spec.training.draws import Draws, Purpose

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mixture:
    """The other halves of n pictures: `labels` and the own label's `shares`, (n,).

    `partners` are blended in with the own picture's `blend`, (n,); None if all is done in the pictures already.
    """

    labels: Indices
    shares: Shares
    blend: Shares
    partners: Pixels | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Mixing:
    """An epoch's choices, by position: the partner's position, the share, and whether to cut; centres (n, 2)."""

    partners: Indices
    shares: Shares
    cuts: NDArray[np.bool_]
    centres: NDArray[np.float64]
    blends: bool

    def of(self, rows: slice, own: Pixels, others: Pixels, labels: Indices) -> tuple[Pixels, Mixture]:
        """The pictures at some positions, cut with their partners, and what is still to be mixed.

        `labels` are the partners'.
        """
        shares, cuts = self.shares[rows], self.cuts[rows]
        pictures = np.array(own)
        kept = shares.copy()
        for k in np.flatnonzero(cuts):
            top, bottom, left, right = box_of(shares[k], self.centres[rows][k], pictures.shape[1:3])
            pictures[k, top:bottom, left:right] = others[k, top:bottom, left:right]
            kept[k] = 1 - (bottom - top) * (right - left) / (pictures.shape[1] * pictures.shape[2])
        blend = np.where(cuts, 1.0, shares)
        return pictures, Mixture(labels, kept, blend, others if self.blends else None)


def mixing_of(draws: Draws, augment: Augment, batch: int) -> Mixing | None:
    """The choices of an epoch, None if the recipe mixes nothing."""
    if not augment.mixup and not augment.cutmix:
        return None
    stream = draws.stream(Purpose.MIX)
    cuts = stream.random(draws.count) < (0.5 if augment.mixup and augment.cutmix else float(bool(augment.cutmix)))
    blended, cut = (_beta(stream, alpha, draws.count) for alpha in (augment.mixup, augment.cutmix))
    centres = stream.random((draws.count, 2))
    return Mixing(draws.partners(batch), np.where(cuts, cut, blended), cuts, centres, bool(augment.mixup))


def _beta(stream: np.random.Generator, alpha: float, count: int) -> Shares:
    return stream.beta(alpha, alpha, count) if alpha else np.ones(count)


def box_of(share: float, centre: NDArray[np.float64], size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The rectangle (top, bottom, left, right) to replace: 1 - `share` of the area, as far as it lies inside."""
    ends = []
    for length, middle in zip(size, centre, strict=True):
        side = int(length * np.sqrt(1 - share))
        first = int(middle * length) - side // 2
        ends += [max(first, 0), min(first + side, length)]
    return ends[0], ends[1], ends[2], ends[3]
