"""Pictures of one size in memory, resized on all cores: each to the bytes of `pictures.to_frame`.

Pillow scales the width of all rows, then the height of all columns, unless the height is reduced (from Pillow 13 on, a
height that is reduced much more than the width comes first). So small pictures that are enlarged are scaled in groups:
one above the other first, then one beside the other. Pillow releases the interpreter's lock once per pass; for small
pictures one by one, handing it over costs as much as the work.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from nin_spec.data.threads import each
from nin_spec.pictures import Frame, Pixels, Size, to_frame, way_to

_GROUP = 16
"""Most pictures in a group."""
_GROUP_PIXELS = 1 << 21
"""Most pixels of a group; a larger picture is scaled alone."""


def resize(pictures: Pixels, frame: Frame) -> Pixels:
    """(n, H, W, 1 or 3) in the frame. Raises what `to_frame` raises."""
    count, height, width, channels = pictures.shape
    scaled, (left, top, right, bottom) = way_to(frame, (width, height), "L" if channels == 1 else "RGB")
    result = np.empty((count, frame.height, frame.width, frame.channels), np.uint8)
    enlarged = scaled[1] >= height
    group = min(_GROUP, _GROUP_PIXELS // (scaled[1] * max(width, scaled[0]))) if enlarged else 1

    def several(k: int) -> None:
        rows = slice(k * group, (k + 1) * group)
        chosen = luminance(pictures[rows]) if channels > frame.channels else pictures[rows]
        result[rows] = _scaled(chosen, scaled)[:, top:bottom, left:right]

    def one(k: int) -> None:
        result[k] = to_frame(_image(pictures[k]), frame)

    if group > 1:
        each(several, -(-count // group))
    else:
        each(one, count)
    return result


def luminance(pictures: Pixels) -> Pixels:
    """(n, H, W, 3) to (n, H, W, 1), as Pillow computes it per pixel."""
    count, height, width, _ = pictures.shape
    tall = Image.fromarray(pictures.reshape(count * height, width, 3)).convert("L")
    return np.array(tall).reshape(count, height, width, 1)


def _scaled(pictures: Pixels, size: Size) -> Pixels:
    """(n, H, W, C) scaled to (width, height) each."""
    count, height, width, channels = pictures.shape
    tall = _image(pictures.reshape(count * height, width, channels)).resize(
        (size[0], count * height), Image.Resampling.BILINEAR
    )
    beside = np.asarray(tall).reshape(count, height, size[0], channels).transpose(1, 0, 2, 3)
    wide = _image(beside.reshape(height, count * size[0], channels)).resize(
        (count * size[0], size[1]), Image.Resampling.BILINEAR
    )
    return np.asarray(wide).reshape(size[1], count, size[0], channels).transpose(1, 0, 2, 3)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
