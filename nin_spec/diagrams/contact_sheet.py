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

_ACROSS = 8
"""Most pictures in a row."""
_SIDE = 1.5
"""Width of a picture in inches."""


@dataclass(frozen=True)
class Tile:
    """A picture, uint8 (height, width, 1 or 3), with lines of text above it."""

    picture: NDArray[np.uint8]
    caption: Sequence[str]


def contact_sheet_png(tiles: Sequence[Tile], title: str) -> bytes:
    """The pictures in rows of up to eight. Raises InputError (EXTRA_MISSING) without matplotlib."""
    matplotlib = load_matplotlib()
    across = min(_ACROSS, max(3, len(tiles)))
    down = max(1, math.ceil(len(tiles) / across))
    lines = max((len(tile.caption) for tile in tiles), default=1)
    with matplotlib.rc_context(STYLE):
        size = (across * _SIDE, down * (_SIDE + 0.14 * lines) + 0.5)
        figure = matplotlib.figure.Figure(size, layout="constrained")
        figure.suptitle(plain(title, "", 100), x=0.012, ha="left", fontweight="bold")
        for k in range(across * down):
            axes = figure.add_subplot(down, across, k + 1)
            axes.set_axis_off()
            if k < len(tiles):
                _draw(axes, tiles[k])
        return png_of(figure)


def _draw(axes: Any, tile: Tile) -> None:
    gray = tile.picture.shape[2] == 1
    axes.imshow(tile.picture[..., 0] if gray else tile.picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title("\n".join(plain(text, "?", 24) for text in tile.caption), fontsize=6.5, loc="left", pad=2)
