"""The order of Pillow's passes, found by what it computes."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from PIL import Image

from nin_spec.browser.pass_order import Size, begins_with_rows, rows_first
from nin_spec.diagnostics import ExportError


def scaled(pixels: bytes, own: Size, size: Size) -> bytes:
    """By Pillow, in its own order."""
    return Image.frombytes("L", own, pixels).resize(size, Image.Resampling.BILINEAR).tobytes()


def columns_first(pixels: bytes, own: Size, size: Size) -> bytes:
    """As Pillow 10 to 12 do."""
    narrow = (size[0], own[1])
    return scaled(scaled(pixels, own, narrow), narrow, size)


def by_the_rule(pixels: bytes, own: Size, size: Size) -> bytes:
    """As Pillow 13 does."""
    low = (own[0], size[1])
    if own[1] != size[1] and own[0] != size[0] and begins_with_rows(own, size):
        return scaled(scaled(pixels, own, low), low, size)
    return columns_first(pixels, own, size)


def always_rows(pixels: bytes, own: Size, size: Size) -> bytes:
    """As none does."""
    low = (own[0], size[1])
    return scaled(scaled(pixels, own, low), low, size)


def test_each_order_is_found() -> None:
    """Whatever Pillow is installed."""
    assert rows_first(by_the_rule) is True
    assert rows_first(columns_first) is False


def test_another_order_is_refused() -> None:
    """No page would equal this installation."""
    for resize in (always_rows, lambda pixels, _own, size: pixels[: size[0] * size[1]]):
        with pytest.raises(ExportError) as caught:
            rows_first(resize)
        assert f"Pillow {PIL.__version__} scales pictures in an order" in str(caught.value)


def test_the_installed_pillow_follows_what_was_found() -> None:
    """On sizes of all sorts."""
    rng = np.random.default_rng(4)
    mirror = by_the_rule if rows_first() else columns_first
    for _ in range(200):
        before, after = rng.integers(8, 70, (2, 2)).tolist()
        own, size = (before[0], before[1]), (after[0], after[1])
        pixels = rng.bytes(own[0] * own[1])
        assert mirror(pixels, own, size) == scaled(pixels, own, size), (own, size)
