"""The order in which this installation's Pillow scales the columns and the rows of a picture: each pass rounds.

Pillow 10 to 12 begin with the columns. Pillow 13 begins with the rows where these shrink by more than twice as many
pixels as the columns do (libImaging/Resample.c). Training and serving scale with the installed Pillow; the facts
of a page say which order that is.
"""

from __future__ import annotations

from collections.abc import Callable

from nin_spec.diagnostics import Code, ExportError

Size = tuple[int, int]
Resize = Callable[[bytes, Size, Size], bytes]
"""Gray pixels of a (width, height), scaled to another."""

_CASES: tuple[tuple[Size, Size], ...] = (
    ((20, 60), (12, 42)),
    ((20, 60), (12, 43)),
    ((20, 60), (12, 44)),
    ((20, 60), (30, 59)),
    ((20, 60), (30, 70)),
    ((60, 20), (50, 12)),
)
"""Sizes on both sides of the rule's limits, before and after."""


def begins_with_rows(own: Size, size: Size) -> bool:
    """The rule of Pillow 13, for pictures whose two sides change."""
    return own[1] > size[1] and own[1] - size[1] > 2 * (own[0] - size[0])


def rows_first(resize: Resize | None = None) -> bool:
    """Whether the installed Pillow follows the rule of Pillow 13; else it begins with the columns.

    `resize` stands for Pillow's. Raises ExportError if it does neither.
    """
    import PIL

    found = [_order(resize or _resize, own, size) for own, size in _CASES]
    if found == [begins_with_rows(own, size) for own, size in _CASES]:
        return True
    if all(order is False for order in found):
        return False
    message = f"Pillow {PIL.__version__} scales pictures in an order that a page can't follow yet"
    raise ExportError(Code.EXPORT_OPTION, message, hint="pip install pillow==13.0.0")


def _order(resize: Resize, own: Size, size: Size) -> bool | None:
    """Whether a picture is scaled as by its rows first; None if neither order gives the same bytes, or both do."""
    pixels = bytes((k * k * 31 + k * 7) % 251 for k in range(own[0] * own[1]))
    whole = resize(pixels, own, size)
    narrow, low = (size[0], own[1]), (own[0], size[1])
    columns = resize(resize(pixels, own, narrow), narrow, size) == whole
    rows = resize(resize(pixels, own, low), low, size) == whole
    return None if columns == rows else rows


def _resize(pixels: bytes, own: Size, size: Size) -> bytes:
    from PIL import Image

    return Image.frombytes("L", own, pixels).resize(size, Image.Resampling.BILINEAR).tobytes()
