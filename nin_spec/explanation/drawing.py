"""An explanation as a picture: for each class the picture, the map drawn where its cells look, the cells, the score.

A cell is drawn around the middle of its field, as large as the jump to the next one; between the middles the overlay is
interpolated, and beyond the outermost cells nothing is drawn. Red cells raise the score, blue ones lower it; of one
picture all maps have one scale.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nin_spec.explanation.result import ClassMap, Explanation
from nin_spec.passes.class_maps import Place

_SIDE = 224
"""Pixels of the longer side of a panel, at least."""
_GAP, _TEXT = 16, 260
_UP, _DOWN = (196, 30, 40), (30, 80, 190)
_OPACITY = 0.75
_MOST_ROWS = 64
"""Classes drawn of one picture, the best ones: a taller picture is hard to look at."""

Image_ = NDArray[np.uint8]
Array = NDArray[np.floating[Any]]


def draw(explanations: Sequence[Explanation]) -> bytes:
    """A PNG of all explanations, a row for each class."""
    rows = [row for explanation in explanations for row in _rows(explanation)]
    width = max(row.width for row in rows) + 2 * _GAP
    sheet = Image.new("RGB", (width, sum(row.height + _GAP for row in rows) + _GAP), "white")
    top = _GAP
    for row in rows:
        sheet.paste(row, (_GAP, top))
        top += row.height + _GAP
    data = io.BytesIO()
    sheet.save(data, "PNG", optimize=True)
    return data.getvalue()


def _rows(explanation: Explanation) -> list[Image.Image]:
    largest = max((float(np.abs(c.cells).max(initial=0.0)) for c in explanation.classes), default=0.0)
    return [_row(explanation, found, largest or 1.0) for found in explanation.classes[:_MOST_ROWS]]


def _row(explanation: Explanation, found: ClassMap, largest: float) -> Image.Image:
    """The panels of one class, side by side, and its numbers."""
    height, width = explanation.size
    times = max(1, round(_SIDE / max(height, width)))
    size = (width * times, height * times)
    rgb = np.broadcast_to(explanation.pixels, (height, width, 3))
    picture = Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.NEAREST)
    cells = found.cells.astype(np.float64) / largest
    overlay = overlaid(np.asarray(picture.convert("L").convert("RGB")), cells, explanation.place, times)
    grid = Image.fromarray(coloured(cells, np.full((*cells.shape, 3), 255.0))).resize(size, Image.Resampling.NEAREST)
    row = Image.new("RGB", (3 * (size[0] + _GAP) + _TEXT, size[1]), "white")
    for k, panel in enumerate((picture, Image.fromarray(overlay), grid)):
        row.paste(panel, (k * (size[0] + _GAP), 0))
    _write(ImageDraw.Draw(row), 3 * (size[0] + _GAP), found)
    return row


def _write(pen: ImageDraw.ImageDraw, left: int, found: ClassMap) -> None:
    rows, columns = found.cells.shape
    likely = "" if found.probability is None else f", {found.probability:.1%}"
    lines = [
        (found.label, 22),
        (f"score {found.score:.4g}{likely}", 16),
        (f"mean of {rows}x{columns} cells {found.mean:.4g}", 16),
        (f"cells {found.cells.min():.3g} to {found.cells.max():.3g}", 16),
    ]
    top = 0
    for text, size in lines:
        pen.text((left, top), text, fill="black", font=_font(size))
        top += size + 8


def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow 10.0 has one size
        return ImageFont.load_default()


# ------------------------------------------------------------------ the map on the picture


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
    strength = np.clip(np.abs(values), 0, 1)[..., None] * _OPACITY
    ink = np.where(values[..., None] >= 0, np.array(_UP, np.float64), np.array(_DOWN, np.float64))
    found: Image_ = np.rint(base * (1 - strength) + ink * strength).astype(np.uint8)
    return found


def _weights(pixels: int, cells: int, place: Place, axis: int, times: int) -> tuple[Array, NDArray[np.bool_]]:
    """How much of each cell is in each pixel along an axis, (pixels, cells); and the pixels that have a cell."""
    centres = np.array([place.centre(axis, k) for k in range(cells)]) * times
    at = np.arange(pixels) + 0.5
    weights = np.stack([np.interp(at, centres, one) for one in np.eye(cells)], axis=1)
    half = place.jump[axis] * times / 2
    return weights, (at >= centres[0] - half) & (at <= centres[-1] + half)
