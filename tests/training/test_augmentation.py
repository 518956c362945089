"""Random changes to pictures, each beside another program's or a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from nin_spec.data.split import Pixels
from nin_spec.language.recipe import Jitter
from nin_spec.training.augmentation import cut, erase, jitter, mirror, resized_crops

GRID = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1) + 1


@pytest.mark.parametrize(
    ("offset", "corner"), [((0.0, 0.0), 0), ((0.999, 0.999), 1 + 5), ((0.5, 0.5), 1), ((0.5, 0.999), 2)]
)
def test_windows_of_a_padded_picture(offset: tuple[float, float], corner: int) -> None:
    """Padded by one, a 4 x 4 picture has nine windows; (0.5, 0.5) is the picture itself."""
    (window,) = cut(GRID, (4, 4), 1, np.array([offset]))[..., 0]
    padded = np.pad(GRID[0, :, :, 0], 1)
    top, left = int(offset[0] * 3), int(offset[1] * 3)
    assert np.array_equal(window, padded[top : top + 4, left : left + 4])
    assert window[0, 0] == corner


def test_a_window_of_a_larger_picture_needs_no_padding() -> None:
    assert cut(GRID, (2, 2), 0, np.array([[0.999, 0.0]]))[0, :, :, 0].tolist() == [[9, 10], [13, 14]]


def test_every_window_comes_up_equally_often() -> None:
    offsets = np.random.default_rng(0).random((9000, 2))
    windows = cut(np.repeat(GRID, 9000, 0), (4, 4), 1, offsets)
    _, counts = np.unique(windows.reshape(9000, -1), axis=0, return_counts=True)
    assert len(counts) == 9
    assert counts.min() > 850


def test_mirrored_pictures_are_mirrored_left_to_right_and_the_others_left_alone() -> None:
    both = mirror(np.concatenate([GRID, GRID]), np.array([True, False]))
    assert both[0, 0, :, 0].tolist() == [4, 3, 2, 1]
    assert np.array_equal(both[1], GRID[0])


def pictures(count: int = 6, height: int = 20, width: int = 30, channels: int = 3) -> Pixels:
    """Noise over a gradient."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, width)[None, None, :, None]
    return np.clip(ramp + rng.normal(0, 20, (count, height, width, channels)), 0, 255).astype(np.uint8)


MIDDLE = np.log(4 / 3) / (np.log(4 / 3) - np.log(3 / 4))
"""The draw of a square."""


@pytest.mark.parametrize("channels", [1, 3])
def test_a_resized_crop_of_all_is_a_resize(channels: int) -> None:
    """The whole area of a square picture, at an aspect of 1."""
    square = pictures(2, 24, 24, channels)
    made = resized_crops(square, (10, 10), 1.0, np.array([[0.3, MIDDLE]] * 2), np.full((2, 2), 0.5))
    for one, own in zip(made, square, strict=True):
        flat = own[..., 0] if channels == 1 else own
        expected = np.asarray(Image.fromarray(flat).resize((10, 10), Image.Resampling.BILINEAR))
        assert np.array_equal(one.reshape(expected.shape), expected)


def test_resized_crops_have_the_areas_and_aspects_asked_for() -> None:
    """Measured on pictures whose pixels are their own position."""
    rows, columns = np.mgrid[0:200, 0:200]
    grid = np.stack([rows, columns, rows], -1).astype(np.uint8)[None].repeat(300, 0)
    rng = np.random.default_rng(1)
    made = resized_crops(grid, (50, 50), 0.25, rng.random((300, 2)), rng.random((300, 2))).astype(float)
    tall, wide = (np.ptp(made[..., axis], axis=(1, 2)) * 50 / 49 for axis in (0, 1))
    area, aspect = tall * wide / 200**2, wide / tall
    assert area.min() == pytest.approx(0.25, abs=0.03)
    assert 0.9 < area.max() <= 1.05
    assert aspect.min() == pytest.approx(3 / 4, abs=0.05)
    assert aspect.max() == pytest.approx(4 / 3, abs=0.08)
    assert made[:, 0, 0, 0].min() < 3
    assert made[:, -1, 0, 0].max() > 196


ENHANCERS = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color}


@pytest.mark.parametrize(("key", "column"), [("brightness", 0), ("contrast", 1), ("saturation", 2)])
@pytest.mark.parametrize("draw", [0.0, 0.2, 0.5, 0.95])
def test_a_jitter_is_pillow_s_enhancer(key: str, column: int, draw: float) -> None:
    """Up to the rounding of Pillow's intermediate bytes; a draw of 0.5 is the picture itself."""
    drawn = np.full((6, 3), 0.9)
    drawn[:, column] = draw
    made = jitter(pictures(), Jitter.model_validate({key: 0.6}), drawn)
    factor = 1 + 0.6 * (2 * draw - 1)
    for one, own in zip(made, pictures(), strict=True):
        expected = np.asarray(ENHANCERS[key](Image.fromarray(own)).enhance(factor)).astype(int)
        assert np.abs(one.astype(int) - expected).max() <= 2
    if draw == 0.5:
        assert np.array_equal(made, pictures())


def test_gray_pictures_have_no_saturation() -> None:
    gray = pictures(channels=1)
    assert np.array_equal(jitter(gray, Jitter(saturation=1), np.zeros((6, 3))), gray)


@given(probability=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 9))
def test_erasing_blackens_one_rectangle_and_nothing_else(probability: float, seed: int) -> None:
    drawn = np.random.default_rng(seed).random((6, 5))
    before = np.maximum(pictures(), 1)
    for k, (one, own) in enumerate(zip(erase(before, probability, drawn), before, strict=True)):
        black = (one == 0).all(-1)
        assert np.array_equal(one[~black], own[~black])
        rows, columns = black.any(1), black.any(0)
        assert black.sum() == rows.sum() * columns.sum()
        assert bool(black.any()) == bool(drawn[k, 0] < probability)
        if black.any():
            assert 0.01 < black.mean() < 0.36
            assert np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()
