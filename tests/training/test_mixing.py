"""Mixup and cutmix beside the loops of their papers."""

from __future__ import annotations

import numpy as np
import pytest

from nin_spec.language.recipe import Augment
from nin_spec.training.draws import Draws
from nin_spec.training.mixing import Mixing, box_of, mixing_of

COUNT, BATCH = 400, 16
PICTURES = np.random.default_rng(0).integers(0, 256, (COUNT, 9, 7, 2), np.uint8)
LABELS = np.arange(COUNT) % 5


def mixing(**alphas: float) -> Mixing:
    """An epoch's choices."""
    made = mixing_of(Draws(3, 1, COUNT), Augment(**alphas), BATCH)  # type: ignore[arg-type]
    assert made is not None
    return made


def test_a_recipe_without_either_mixes_nothing() -> None:
    assert mixing_of(Draws(3, 1, COUNT), Augment(), BATCH) is None


def test_mixup_is_a_weighted_mean_of_two_pictures() -> None:
    """What is blended in the network's dtype: shares that are drawn, pictures that are not touched."""
    made = mixing(mixup=0.3)
    rows = slice(16, 48)
    others = made.partners[rows]
    pictures, mixture = made.of(rows, PICTURES[rows], PICTURES[others], LABELS[others])
    assert np.array_equal(pictures, PICTURES[rows])
    assert mixture.partners is not None
    assert np.array_equal(mixture.partners, PICTURES[others])
    assert np.array_equal(mixture.labels, LABELS[others])
    assert np.array_equal(mixture.blend, mixture.shares)
    assert np.array_equal(mixture.shares, made.shares[rows])


def test_cutmix_replaces_a_rectangle_as_its_paper_does() -> None:
    """Pixel by pixel; the share is that of the pixels that are left."""
    made = mixing(cutmix=1.0)
    rows = slice(0, COUNT)
    others = made.partners
    pictures, mixture = made.of(rows, PICTURES, PICTURES[others], LABELS[others])
    assert mixture.partners is None
    for k in range(COUNT):
        height, width = 9, 7
        tall, wide = int(height * np.sqrt(1 - made.shares[k])), int(width * np.sqrt(1 - made.shares[k]))
        y, x = (int(c * s) for c, s in zip(made.centres[k], (height, width), strict=True))
        kept = 0
        for i in range(height):
            for j in range(width):
                inside = y - tall // 2 <= i < y - tall // 2 + tall and x - wide // 2 <= j < x - wide // 2 + wide
                source = PICTURES[others[k]] if inside else PICTURES[k]
                assert np.array_equal(pictures[k, i, j], source[i, j])
                kept += not inside
        assert mixture.shares[k] == pytest.approx(kept / (height * width))
        assert mixture.blend[k] == 1


def test_with_both_half_of_the_pictures_are_cut() -> None:
    made = mixing(mixup=0.3, cutmix=1.0)
    assert made.cuts.mean() == pytest.approx(0.5, abs=0.1)
    _, mixture = made.of(slice(0, COUNT), PICTURES, PICTURES[made.partners], LABELS[made.partners])
    assert np.array_equal(mixture.blend == 1, made.cuts)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_are_of_a_beta_distribution(alpha: float) -> None:
    """Its mean is a half and its variance 1 / (4 (2 alpha + 1))."""
    found = mixing_of(Draws(0, 0, 20_000), Augment(mixup=alpha), 100)
    assert found is not None
    assert found.shares.mean() == pytest.approx(0.5, abs=0.01)
    assert found.shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize(("share", "box"), [(0.0, (0, 9, 0, 7)), (1.0, (4, 4, 3, 3)), (0.75, (2, 6, 2, 5))])
def test_boxes_at_the_ends(share: float, box: tuple[int, ...]) -> None:
    assert box_of(share, np.array([0.5, 0.5]), (9, 7)) == box
