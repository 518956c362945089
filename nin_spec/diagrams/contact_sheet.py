"""A contact sheet: pictures side by side, each with a caption, as PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nin_spec.diagrams.charts import STYLE, load_matplotlib, plain, png_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ACROSS = 9
"""Most pictures in a row."""
_GAP = 0.04
"""Between the pictures of a tile, as a share of their width."""
_SIDE = 1.5
"""Width of a picture in inches."""


@dataclass(frozen=True)
class Tile:
    """Pictures of one size, uint8 (height, width, 3), side by side, with lines of text above them."""

    pictures: Sequence[NDArray[np.uint8]]
    caption: Sequence[str]


def contact_sheet_png(tiles: Sequence[Tile], title: str) -> bytes:
    """The tiles in rows of up to nine pictures. Raises InputError (EXTRA_MISSING) without matplotlib."""
    matplotlib = load_matplotlib()
    most = max((len(tile.pictures) for tile in tiles), default=1)
    across = min(max(1, _ACROSS // most), max(3, len(tiles)))
    down = max(1, math.ceil(len(tiles) / across))
    lines = max((len(tile.caption) for tile in tiles), default=1)
    with matplotlib.rc_context(STYLE):
        size = (across * most * _SIDE, down * (_SIDE + 0.14 * lines) + 0.5)
        figure = matplotlib.figure.Figure(size, layout="constrained")
        figure.suptitle(plain(title, "", 100), x=0.012, ha="left", fontweight="bold")
        for k in range(across * down):
            axes = figure.add_subplot(down, across, k + 1)
            axes.set_axis_off()
            if k < len(tiles):
                _draw(axes, tiles[k])
        return png_of(figure)


def _draw(axes: Any, tile: Tile) -> None:
    axes.imshow(_side_by_side(tile.pictures), interpolation="nearest")
    axes.set_title("\n".join(plain(text, "?", 24) for text in tile.caption), fontsize=6.5, loc="left", pad=2)


def _side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The pictures as one, with white between them."""
    import numpy as np

    height, width = pictures[0].shape[:2]
    white = np.full((height, max(1, round(width * _GAP)), 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (white, picture)][1:], axis=1)
