"""Random changes to training pictures: (n, H, W, C) bytes and one row of uniform numbers per picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nin_spec.data.split import Pixels
from nin_spec.data.threads import each
from nin_spec.language.recipe import Jitter
from nin_spec.training.draws import Uniform

Floats = NDArray[np.float32]
Cells = NDArray[np.int64]

_ASPECTS = (math.log(3 / 4), math.log(4 / 3))
"""Of a resized crop, as logarithms (Szegedy et al. 2015, section 6)."""
_ERASED = (0.02, 1 / 3)
_ERASED_ASPECTS = (math.log(0.3), math.log(1 / 0.3))
"""The area and the aspect of an erased rectangle (Zhong et al. 2020, section 3.2; torchvision's upper bound)."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601, as Pillow's conversion to gray."""


def cut(pictures: Pixels, size: tuple[int, int], pad: int, offsets: Uniform) -> Pixels:
    """A crop of `size` from each picture, padded with black; offsets (n, 2) are in 0 to 1."""
    if pad:
        pictures = np.pad(pictures, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    room = pictures.shape[1] - size[0], pictures.shape[2] - size[1]
    if room == (0, 0):
        return pictures
    top, left = (np.floor(offsets[:, axis] * (room[axis] + 1)).astype(np.int64) for axis in (0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(pictures, size, axis=(1, 2))
    chosen: Pixels = windows[np.arange(len(pictures)), top, left].transpose(0, 2, 3, 1)
    return chosen


def mirror(pictures: Pixels, flips: NDArray[np.bool_]) -> Pixels:
    """The pictures, with those of `flips` flipped left to right."""
    return np.where(flips[:, None, None, None], pictures[:, :, ::-1], pictures)


def resized_crops(pictures: Pixels, size: tuple[int, int], least: float, drawn: Uniform, offsets: Uniform) -> Pixels:
    """A rectangle of each picture, of `least` to 1 of its area and an aspect of 3/4 to 4/3, resized to `size`.

    `drawn` (n, 2) has area and aspect, `offsets` (n, 2) top and left. A side longer than the picture's is cut to it.
    """
    height, width = pictures.shape[1:3]
    area = (least + (1 - least) * drawn[:, 0]) * height * width
    aspect = np.exp(_ASPECTS[0] + (_ASPECTS[1] - _ASPECTS[0]) * drawn[:, 1])
    tall, wide = _sides(area, aspect, height, width)
    top, left = _corner(offsets, tall, wide, height, width)
    result = np.empty((len(pictures), *size, pictures.shape[3]), np.uint8)

    def make(k: int) -> None:
        box = (int(left[k]), int(top[k]), int(left[k] + wide[k]), int(top[k] + tall[k]))
        flat = pictures[k, :, :, 0] if pictures.shape[3] == 1 else pictures[k]
        made = Image.fromarray(flat).resize((size[1], size[0]), Image.Resampling.BILINEAR, box)
        result[k] = np.asarray(made).reshape(result.shape[1:])

    each(make, len(pictures))
    return result


def jitter(pictures: Pixels, ranges: Jitter, drawn: Uniform) -> Pixels:
    """Brightness, contrast and saturation times a factor of 1 - range to 1 + range each; `drawn` is (n, 3).

    In this order: times the factor; away from or towards the mean luminance; away from or towards each pixel's own.
    """
    x = pictures.astype(np.float32)
    wanted = np.array([ranges.brightness, ranges.contrast, ranges.saturation])
    factors = (1 + wanted * (2 * drawn - 1)).astype(np.float32)[:, :, None, None, None]
    if ranges.brightness:
        x = np.clip(x * factors[:, 0], 0, 255)
    if ranges.contrast:
        x = _blend(x, _gray(x).mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32), factors[:, 1])
    if ranges.saturation and x.shape[3] == 3:
        x = _blend(x, _gray(x), factors[:, 2])
    rounded: Pixels = np.rint(x).astype(np.uint8)
    return rounded


def _blend(x: Floats, base: Floats, factor: Floats) -> Floats:
    return np.clip(base + (x - base) * factor, 0, 255)


def _gray(x: Floats) -> Floats:
    return x if x.shape[3] == 1 else np.matmul(x, _LUMINANCE)[..., None]


def erase(pictures: Pixels, probability: float, drawn: Uniform) -> Pixels:
    """A black rectangle of 2% to 33% of the area in so many of the pictures.

    `drawn` (n, 5) has whether, area, aspect, top and left.
    """
    height, width = pictures.shape[1:3]
    area = (_ERASED[0] + (_ERASED[1] - _ERASED[0]) * drawn[:, 1]) * height * width
    aspect = np.exp(_ERASED_ASPECTS[0] + (_ERASED_ASPECTS[1] - _ERASED_ASPECTS[0]) * drawn[:, 2])
    tall, wide = _sides(area, aspect, height, width)
    top, left = _corner(drawn[:, 3:], tall, wide, height, width)
    result = np.array(pictures)
    for k in np.flatnonzero(drawn[:, 0] < probability):
        result[k, top[k] : top[k] + tall[k], left[k] : left[k] + wide[k]] = 0
    return result


def _sides(area: Uniform, aspect: Uniform, height: int, width: int) -> tuple[Cells, Cells]:
    """The height and width of rectangles (n,) of an area and an aspect (width over height), at least 1 cell."""
    tall = np.clip(np.rint(np.sqrt(area / aspect)), 1, height).astype(np.int64)
    wide = np.clip(np.rint(np.sqrt(area * aspect)), 1, width).astype(np.int64)
    return tall, wide


def _corner(offsets: Uniform, tall: Cells, wide: Cells, height: int, width: int) -> tuple[Cells, Cells]:
    """The top and left of rectangles that lie inside, every place equally likely."""
    top = np.floor(offsets[:, 0] * (height - tall + 1)).astype(np.int64)
    left = np.floor(offsets[:, 1] * (width - wide + 1)).astype(np.int64)
    return top, left
