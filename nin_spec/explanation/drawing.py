"""Class maps as a picture: for each class the picture, the map drawn where its cells look, the cells, and texts.

A cell is drawn around the middle of its field, as large as the jump to the next one; between the middles the overlay is
interpolated, and beyond the outermost cells nothing is drawn. Red cells raise the score, blue ones lower it; of one
picture all maps have one scale.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nin_spec.passes.class_maps import Place

_SIDE = 224
"""Pixels of the longer side of a panel, at least."""
_GAP, _TEXT, _LINE = 16, 260, 24
_UP, _DOWN = (196, 30, 40), (30, 80, 190)
_OPACITY = 0.75

Image_ = NDArray[np.uint8]
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One class of one picture: pixels (height, width, 1 or 3), cells relative to the largest, their place, and texts.

    The first text is the heading.
    """

    pixels: Image_
    cells: Array
    place: Place
    texts: tuple[str, ...]


def sheet(rows: Sequence[Row]) -> bytes:
    """A PNG of all rows, one below the other."""
    panels = [_panels(row) for row in rows]
    width = max(panel.width for panel in panels) + 2 * _GAP
    made = Image.new("RGB", (width, sum(panel.height + _GAP for panel in panels) + _GAP), "white")
    top = _GAP
    for panel in panels:
        made.paste(panel, (_GAP, top))
        top += panel.height + _GAP
    data = io.BytesIO()
    made.save(data, "PNG", optimize=True)
    return data.getvalue()


def _panels(row: Row) -> Image.Image:
    """The picture, the map on it, the cells, and the texts, side by side."""
    height, width = row.pixels.shape[:2]
    times = max(1, round(_SIDE / max(height, width)))
    size = (width * times, height * times)
    picture = Image.fromarray(enlarged(row.pixels, times))
    looks_at = Image.fromarray(overlay(row.pixels, row.cells, row.place, times))
    cells = Image.fromarray(coloured(row.cells, np.full((*row.cells.shape, 3), 255.0)))
    made = Image.new("RGB", (3 * (size[0] + _GAP) + _TEXT, max(size[1], _LINE * (len(row.texts) + 1))), "white")
    for k, panel in enumerate((picture, looks_at, cells.resize(size, Image.Resampling.NEAREST))):
        made.paste(panel, (k * (size[0] + _GAP), 0))
    pen, top = ImageDraw.Draw(made), 0
    for k, text in enumerate(row.texts):
        pen.text((3 * (size[0] + _GAP), top), text, fill="black", font=_font(16 if k else 22))
        top += _LINE if k else _LINE + 6
    return made


def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow 10.0 has one size
        return ImageFont.load_default()


# ------------------------------------------------------------------ the map on the picture


def enlarged(pixels: Image_, times: int) -> Image_:
    """A picture, (height, width, 1 or 3), as RGB, each of its pixels as `times` x `times`."""
    height, width = pixels.shape[:2]
    rgb = np.broadcast_to(pixels, (height, width, 3))
    return np.ascontiguousarray(rgb.repeat(times, 0).repeat(times, 1))


def overlay(pixels: Image_, cells: Array, place: Place, times: int) -> Image_:
    """A map of values in [-1, 1] on the picture in gray, enlarged likewise."""
    gray = Image.fromarray(enlarged(pixels, times)).convert("L").convert("RGB")
    return overlaid(np.asarray(gray), cells, place, times)


def overlaid(picture: Image_, cells: Array, place: Place, times: int) -> Image_:
    """A map of values in [-1, 1] on a gray picture, (height, width, 3), each of whose pixels is `times` x `times`."""
    (down, rows), (across, columns) = (
        _weights(picture.shape[axis], cells.shape[axis], place, axis, times) for axis in (0, 1)
    )
    values = down @ cells @ across.T
    values[~np.outer(rows, columns)] = 0
    return coloured(values, picture.astype(np.float64))


def coloured(values: Array, base: Array) -> Image_:
    """Values in [-1, 1] as red and blue over a picture."""
    ink, strength = _ink(values)
    found: Image_ = np.rint(base * (1 - strength) + ink * strength).astype(np.uint8)
    return found


def tint(values: Array) -> Image_:
    """The same without a picture, to be laid over one: a pixel for each value, with its opacity, (rows, columns, 4)."""
    ink, strength = _ink(values)
    found: Image_ = np.rint(np.concatenate([ink, 255 * strength], axis=-1)).astype(np.uint8)
    return found


def _ink(values: Array) -> tuple[Array, Array]:
    """The colour and the opacity of each value, on a last axis."""
    strength = np.clip(np.abs(values), 0, 1)[..., None] * _OPACITY
    return np.where(values[..., None] >= 0, np.array(_UP, np.float64), np.array(_DOWN, np.float64)), strength


def _weights(pixels: int, cells: int, place: Place, axis: int, times: int) -> tuple[Array, NDArray[np.bool_]]:
    """How much of each cell is in each pixel along an axis, (pixels, cells); and the pixels that have a cell."""
    centres = np.array([place.centre(axis, k) for k in range(cells)]) * times
    at = np.arange(pixels) + 0.5
    weights = np.stack([np.interp(at, centres, one) for one in np.eye(cells)], axis=1)
    half = place.jump[axis] * times / 2
    return weights, (at >= centres[0] - half) & (at <= centres[-1] + half)
