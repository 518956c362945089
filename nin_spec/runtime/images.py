"""Files to inputs: pictures through the model's preprocessing contract, and .npy arrays as they are."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nin_spec.diagnostics import Code, Diagnostic, InputError
from nin_spec.model import Preprocessing
from nin_spec.runtime.session import Array, Session, fits, show

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
NamedInput = tuple[str, Array]
Box = tuple[int, int, int, int]

_NPY_MAGIC, _ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"
_MAX_PIXELS = 1 << 27  # where Pillow's own limit was switched off
_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def load_inputs(paths: Iterable[str | Path], session: Session) -> list[NamedInput]:
    """Each file's inputs as (name, array), arrays being one input of the model without the batch axis.

    A picture is one input. A .npy array is one input, (C, H, W), or a batch of them, (N, C, H, W),
    named `file[0]`, `file[1]`, ... . Raises InputError INPUT_UNUSABLE, which names the file.
    """
    return [item for path in paths for item in _load(Path(path), session)]


def _load(path: Path, session: Session) -> Iterator[NamedInput]:
    magic = _magic(path)
    if magic.startswith(_NPY_MAGIC):
        yield from _load_array(path, session)
    elif magic.startswith(_ZIP_MAGIC) or path.suffix.lower() == ".npz":
        raise _unusable(path, "it is an archive of arrays (.npz)", "save the one array with numpy.save")
    elif path.suffix.lower() == ".npy":
        raise _unusable(path, "it is not a NumPy array file", "write it with numpy.save")
    else:
        yield str(path), _load_picture(path, session)


def _magic(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unusable(path, "it is a folder or a device, not a file", "name the files in it")
        with path.open("rb") as file:
            magic = file.read(8)
    except (OSError, ValueError) as error:
        raise _unusable(path, f"it can't be read: {getattr(error, 'strerror', error)}") from error
    if not magic:
        raise _unusable(path, "it is empty")
    return magic


# ------------------------------------------------------------------ arrays


def _load_array(path: Path, session: Session) -> Iterator[NamedInput]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on old headers
            # Mapped, so that a header that promises more than the file holds allocates nothing.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise _unusable(path, f"it is not a NumPy array of numbers: {error}", "write it with numpy.save") from error
    if array.dtype.kind != "f":
        hint = "arrays hold inputs that are already preprocessed; save raw pixels as a picture (PNG) instead"
        raise _unusable(path, f"it holds {array.dtype}, not floats", hint)
    item = session.input_shape[1:]
    if fits(array.shape, item):
        yield str(path), _finite(path, array, session.dtype)
    elif fits(array.shape, (None, *item)) and len(array):
        for k, one in enumerate(_finite(path, array, session.dtype)):
            yield f"{path}[{k}]", one
    else:
        wanted = f"{show(item)}, or a batch {show((None, *item))}"
        raise _unusable(path, f"it has shape {show(array.shape)}, and the model takes {wanted}")


def _finite(path: Path, array: NDArray[Any], dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        converted: Array = np.array(array, dtype)
    if not np.isfinite(converted).all():
        raise _unusable(path, f"it holds values that are not finite numbers in {dtype}")
    return converted


# ------------------------------------------------------------------ pictures


def _load_picture(path: Path, session: Session) -> Array:
    contract = session.metadata.preprocessing
    if contract is None:
        hint = "give .npy arrays of preprocessed inputs, or export the model from its spec"
        raise _unusable(path, "the model doesn't say how to turn a picture into its input", hint)
    match session.input_shape:
        case (_, (1 | 3) as channels, height, width):
            mode = "L" if channels == 1 or contract.color == "gray" else "RGB"
        case shape:
            hint = "give .npy arrays of preprocessed inputs"
            raise _unusable(path, f"a picture has 1 or 3 channels, and the model takes {show(shape)}", hint)
    try:
        picture = decode(path)
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise _unusable(path, f"it can't be decoded: {error}", f"pictures are {', '.join(FORMATS)}") from error
    scaled, box = _fit(picture.size, (width, height), contract.resize)
    if scaled[0] * scaled[1] > (Image.MAX_IMAGE_PIXELS or _MAX_PIXELS):
        raise _unusable(path, f"it is too long and thin to be cropped ({picture.width}x{picture.height} pixels)")
    picture = _to_mode(picture, mode).resize(scaled, Image.Resampling.BILINEAR).crop(box)
    return preprocess(np.asarray(picture), contract, channels, session.dtype)


def decode(path: Path) -> Image.Image:
    """The picture, or the first frame, turned upright as its EXIF orientation says.

    Raises what Pillow raises; its limit on pixels (Image.MAX_IMAGE_PIXELS) is an error, not a warning.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on metadata that doesn't matter here
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)


def _to_mode(picture: Image.Image, mode: str) -> Image.Image:
    """8-bit gray or RGB. Transparency is dropped, as Pillow's `convert("RGB")` in training pipelines does."""
    if picture.mode in _16_BIT:
        # Pillow would cut 16 bits at 255 instead of scaling them.
        wide = np.clip(np.asarray(picture), 0, 65535).astype(np.uint32)
        picture = Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
    return picture.convert(mode)


def _fit(own: tuple[int, int], target: tuple[int | None, int | None], how: str) -> tuple[tuple[int, int], Box]:
    """The size to scale a picture to, and the box (left, top, right, bottom) to keep of it; sizes are (width, height).

    `crop` scales until the picture just covers the target and keeps the centre, as torchvision's Resize
    and CenterCrop do. An open axis keeps the picture's own size.
    """
    width, height = target[0] or own[0], target[1] or own[1]
    if how == "stretch":
        scaled = width, height
    elif own[0] * height >= own[1] * width:
        scaled = own[0] * height // own[1], height
    else:
        scaled = width, own[1] * width // own[0]
    left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
    return scaled, (left, top, left + width, top + height)


def preprocess(pixels: NDArray[np.uint8], contract: Preprocessing, channels: int, dtype: np.dtype[Any]) -> Array:
    """(pixel * scale - mean) / std by channel: (H, W) or (H, W, 3) RGB bytes to (channels, H, W).

    Gray pixels fill each channel. Raises InputError when the contract's numbers are not one a channel.
    """
    for key, numbers in (("mean", contract.mean), ("std", contract.std)):
        if len(numbers) not in (1, channels):
            message = f"the model's preprocessing has {len(numbers)} numbers in {key}, for {channels} channels"
            raise InputError(Diagnostic(Code.MODEL_UNREADABLE, message))
    work = np.promote_types(dtype, np.float32)
    x = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if contract.color == "bgr":
        x = x[::-1]
    x = np.broadcast_to(x, (channels, *x.shape[1:])).astype(work)
    mean, std = (np.array(v, work).reshape(-1, 1, 1) for v in (contract.mean, contract.std))
    result: Array = np.ascontiguousarray((x * work.type(contract.scale) - mean) / std, dtype=dtype)
    return result


def _unusable(path: Path, why: str, hint: str | None = None) -> InputError:
    return InputError(Diagnostic(Code.INPUT_UNUSABLE, f"{path} can't be used: {why}", hint=hint))
