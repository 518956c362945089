"""Pictures to arrays: the preprocessing of serving, evaluation and training."""

from __future__ import annotations

import base64
import io
import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image, ImageOps

from nin_spec.diagnostics import Code, InputError
from nin_spec.model import Preprocessing

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
Pixels = NDArray[np.uint8]
Array = NDArray[np.floating[Any]]
Box = tuple[int, int, int, int]
Size = tuple[int, int]

_MAX_PIXELS = 1 << 27  # if Pillow's own limit was disabled
MOST_BYTES = 768 << 20
"""Limit of the memory in bytes for preprocessing one picture."""
_LOADED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes per pixel in Pillow's memory (its Storage.c), 4 in every other mode."""
_WEBP_BYTES = 12
"""Bytes per pixel that the WebP decoder uses in addition (measured)."""
_STRIP = 1 << 20
"""Number of 16-bit pixels scaled to 8 bits at once."""
_ORIENTATION = 0x0112
"""EXIF's tag."""
_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class Frame:
    """The format of preprocessed pictures: channels (1 gray, 3 RGB), height, width, and how to resize.

    `resize` and `target` (height, width) are those of `preprocess`: `stretch` to the target, or scale until it is just
    covered and `crop`. The centre of the frame's size is kept; without a target, that is the whole picture.
    """

    channels: int
    height: int
    width: int
    resize: Literal["stretch", "crop"] = "stretch"
    target: tuple[int, int] | None = None

    def keeps(self, height: int, width: int) -> bool:
        """Whether a picture of this size already fits the frame."""
        return (height, width) == (self.height, self.width) and self.target in {None, (height, width)}

    @property
    def whole(self) -> Frame:
        """The frame of the resized picture, before the centre crop."""
        height, width = self.target or (self.height, self.width)
        return replace(self, height=height, width=width, target=None)


Shape = tuple[int, int | None, int | None]
"""(C, H, W) of a network's input, None for a side that is open."""


def frame_of(shape: Shape, contract: Preprocessing, own: tuple[int, int] = (0, 0)) -> Frame:
    """The frame of a network's input: one channel if `preprocess` is gray, for any C.

    `own` is the (width, height) of the picture, which sets open sides, scaled to the target if there is one.
    """
    channels, height, width = shape
    if contract.target is not None and None in {height, width}:
        own = _scaled(own, contract.target[::-1], contract.resize)
    size = own[1] if height is None else height, own[0] if width is None else width
    return Frame(1 if contract.color == "gray" else channels, *size, contract.resize, contract.target)


# ------------------------------------------------------------------ decoding


class _Quiet:
    """Suppress Pillow's warnings, and turn its limit on pixels into an error, while any thread decodes.

    `warnings.catch_warnings` restores the wrong filters if threads overlap: here the first thread sets them and the
    last restores them.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._saved = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> Self:
        with self._lock:
            if not self._users:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._saved.__exit__(None, None, None)


_quiet = _Quiet()


def decode(path: Path | IO[bytes]) -> Image.Image:
    """The picture, or the first frame, turned upright as its EXIF orientation says.

    Safe to call from several threads. Raises what Pillow raises; its limit on pixels
    (Image.MAX_IMAGE_PIXELS) is an error, not a warning. Raises PictureTooLargeError before more memory than
    MOST_BYTES is taken.
    """
    with _quiet, Image.open(path, formats=FORMATS) as picture:
        _check_cost(picture.size, decoding_cost(picture))
        picture.load()
        if _is_turned(picture):  # a PNG may have it after its pixels
            _check_cost(picture.size, 2 * _loaded(picture))
            ImageOps.exif_transpose(picture, in_place=True)
        return picture


class PictureTooLargeError(ValueError):
    """Preprocessing a picture would take too much memory."""


def _check_cost(size: Size, cost: int) -> None:
    if cost > MOST_BYTES:
        needed, pixels = f"{-(-cost >> 20)} MiB of memory", f"{size[0]}x{size[1]} pixels"
        raise PictureTooLargeError(f"{pixels} take {needed} to decode and scale; the limit is {MOST_BYTES >> 20} MiB")


def _loaded(picture: Image.Image) -> int:
    return picture.width * picture.height * _LOADED.get(picture.mode, 4)


def _is_turned(picture: Image.Image) -> bool:
    return bool(picture.getexif().get(_ORIENTATION, 1) != 1)


def decoding_cost(picture: Image.Image) -> int:
    """Bytes needed to decode a picture, from its header, and to apply its orientation."""
    pixels = picture.width * picture.height
    beside = 0
    if picture.format == "WEBP":
        beside = _WEBP_BYTES * pixels
    elif picture.info.get("progressive"):
        beside = 2 * len(picture.getbands()) * pixels  # every coefficient is kept until the last scan
    if picture.format != "PNG" and _is_turned(picture):  # finding it would decode a PNG
        beside = max(beside, _loaded(picture))
    return _loaded(picture) + beside


def framing_cost(picture: Image.Image, frame: Frame) -> int:
    """Bytes needed to bring a decoded picture to a frame, including the picture."""
    target = frame.target or (frame.height, frame.width)
    scaled, _ = fit(picture.size, (frame.width, frame.height), frame.resize, target[::-1])
    return _cost(picture.size, picture.mode, frame, scaled)


def _cost(size: Size, mode: str, frame: Frame, scaled: Size) -> int:
    work = _work_mode(mode, frame)
    pixel, pixels = _LOADED.get(work, 4), size[0] * size[1]
    converted = pixels * pixel * (mode != work)
    # Pillow scales the width first, of all rows.
    between = scaled[0] * (size[1] + scaled[1]) * pixel * (size != scaled)
    # The filter's coefficients: two doubles for each pixel of a row and a column that is scaled down.
    tables = (16 * sum(size) + 24 * sum(scaled)) * (size != scaled)
    return pixels * _LOADED.get(mode, 4) + converted + between + tables


def memory_of(path: Path | IO[bytes], frame: Frame) -> int:
    """Bytes needed to preprocess a picture, from its header. Raises what Pillow raises."""
    with _quiet, Image.open(path, formats=FORMATS) as picture:
        return max(decoding_cost(picture), framing_cost(picture, frame))


def read_header(path: Path | IO[bytes]) -> tuple[int, int]:
    """A picture's width and height, without decoding it. Raises what Pillow raises; thread-safe."""
    with _quiet, Image.open(path, formats=FORMATS) as picture:
        return picture.size


def is_gray(path: Path | IO[bytes]) -> bool:
    """Whether a picture's header states that it has no colours. Raises what Pillow raises; thread-safe."""
    with _quiet, Image.open(path, formats=FORMATS) as picture:
        return picture.mode in {"1", "L", "LA", "I", "I;16", "F"}


# ------------------------------------------------------------------ the frame


def to_frame(picture: Image.Image, frame: Frame) -> Pixels:
    """A picture in the frame: (height, width, channels), scaled with Pillow's antialiased bilinear filter.

    Raises ValueError for a picture so long and thin that it would be scaled to gigabytes before the crop, and where
    the frame's target is smaller than the frame; PictureTooLargeError for one that takes more than MOST_BYTES.
    """
    scaled, box = way_to(frame, picture.size, picture.mode)
    picture = to_mode(picture, _work_mode(picture.mode, frame))
    if picture.size != scaled:
        picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    if box != (0, 0, *scaled):
        picture = picture.crop(box)
    pixels: Pixels = np.asarray(to_mode(picture, "L" if frame.channels == 1 else "RGB"))
    return pixels.reshape(frame.height, frame.width, frame.channels)


def way_to(frame: Frame, size: Size, mode: str) -> tuple[Size, Box]:
    """The size to scale a picture of some size and mode to, and the box to crop. Raises what `to_frame` raises."""
    target = frame.target or (frame.height, frame.width)
    scaled, box = fit(size, (frame.width, frame.height), frame.resize, target[::-1])
    if scaled[0] < frame.width or scaled[1] < frame.height:
        raise ValueError(f"resized to {scaled[0]}x{scaled[1]} pixels it is smaller than {frame.width}x{frame.height}")
    if scaled[0] * scaled[1] > (Image.MAX_IMAGE_PIXELS or _MAX_PIXELS):
        raise ValueError(f"it is too long and thin to be cropped ({size[0]}x{size[1]} pixels)")
    _check_cost(size, _cost(size, mode, frame, scaled))
    return scaled, box


def _work_mode(mode: str, frame: Frame) -> str:
    """The mode for scaling: gray pictures stay gray until the end, as their three channels are equal."""
    return "L" if frame.channels == 1 or mode in {"1", "L", *_16_BIT} else "RGB"


def to_mode(picture: Image.Image, mode: str) -> Image.Image:
    """8-bit gray or RGB. Transparency is dropped, as with Pillow's `convert("RGB")` in training pipelines."""
    if picture.mode in _16_BIT:
        picture = _scaled_to_8_bits(picture)
    return picture if picture.mode == mode else picture.convert(mode)


def _scaled_to_8_bits(picture: Image.Image) -> Image.Image:
    """Pillow's own conversion would cut 16 bits at 255 instead of scaling them. In strips, for little memory."""
    narrow = np.empty((picture.height, picture.width), np.uint8)
    rows = max(1, _STRIP // max(1, picture.width))
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        wide = np.clip(np.asarray(strip), 0, 65535).astype(np.uint32)
        narrow[top : top + rows] = (wide * 255 + 32767) // 65535
    return Image.fromarray(narrow)


def fit(own: Size, size: Size, how: str, target: Size | None = None) -> tuple[Size, Box]:
    """The size to scale a picture to, and the box (left, top, right, bottom) to crop; sizes are (width, height).

    `crop` scales until the picture just covers the target, `stretch` to the target; the centre of `size` is kept, as
    torchvision's Resize and CenterCrop do.
    """
    width, height = size
    scaled = _scaled(own, size if target is None else target, how)
    left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
    return scaled, (left, top, left + width, top + height)


def _scaled(own: Size, target: Size, how: str) -> Size:
    """(width, height) after scaling, rounded down as torchvision's Resize does."""
    if how == "stretch":
        return target
    if own[0] * target[1] >= own[1] * target[0]:
        return own[0] * target[1] // own[1], target[1]
    return target[0], own[1] * target[0] // own[0]


# ------------------------------------------------------------------ the contract


def normalise(pictures: Pixels, contract: Preprocessing, dtype: DTypeLike, channels: int | None = None) -> Array:
    """(pixel * scale - mean) / std by channel: (n, H, W, 1 or 3) gray or RGB bytes to (n, channels, H, W).

    `channels` is the network's; gray pixels are copied to each. The result for a picture does not depend on the others.
    Raises InputError unless `preprocess` has one number per channel.
    """
    channels = pictures.shape[-1] if channels is None else channels
    _require_one_a_channel(contract, channels)
    work = np.promote_types(dtype, np.float32)
    x: NDArray[Any] = pictures.transpose(0, 3, 1, 2)
    if contract.color == "bgr":
        x = x[:, ::-1]
    x = np.broadcast_to(x, (len(x), channels, *x.shape[2:])).astype(work, order="C")
    x *= work.type(contract.scale)
    x -= np.array(contract.mean, work).reshape(-1, 1, 1)
    x /= np.array(contract.std, work).reshape(-1, 1, 1)
    result: Array = x.astype(dtype, copy=False)
    return result


def raw(pictures: Pixels, contract: Preprocessing, dtype: DTypeLike) -> NDArray[Any]:
    """Raw pictures as declared in `preprocess`: (n, H, W, 1 or 3) gray or RGB bytes in its layout, as `dtype`."""
    arranged = pictures if contract.layout == "HWC" else pictures.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(arranged, dtype)


def _require_one_a_channel(contract: Preprocessing, channels: int) -> None:
    for key, numbers in (("mean", contract.mean), ("std", contract.std)):
        if len(numbers) not in (1, channels):
            message = f"the model's preprocessing has {len(numbers)} numbers in {key}, for {channels} channels"
            raise InputError(Code.MODEL_UNREADABLE, message)


def preprocess(pixels: Pixels, contract: Preprocessing, channels: int, dtype: DTypeLike) -> Array:
    """One picture of `normalise`: (H, W), (H, W, 1) or (H, W, 3) bytes to (channels, H, W)."""
    picture = pixels[..., None] if pixels.ndim == 2 else pixels
    result: Array = normalise(picture[None], contract, dtype, channels)[0]
    return result


def data_uri(pixels: Pixels) -> str:
    """Pixels as a PNG in a URI, for a page: (height, width, 1 gray, 3 RGB or 4 with opacity)."""
    data = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
