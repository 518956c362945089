"""Files to inputs: pictures are preprocessed as the model declares, .npy arrays are used directly."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, InputError
from nin_spec.pictures import FORMATS, PictureTooLargeError, Pixels, decode, frame_of, preprocess, raw, to_frame
from nin_spec.runtime.session import Array, Session, fits, show

NamedInput = tuple[str, Array]

_NPY_MAGIC, _ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"


def load_inputs(paths: Iterable[str | Path], session: Session) -> list[NamedInput]:
    """Each file's inputs as (name, array), arrays being one input of the model without the batch axis.

    A picture is one input. A .npy array is one input, (C, H, W), or a batch of them, (N, C, H, W), named `file[0]`,
    `file[1]`, ... . Raises InputError (INPUT_UNUSABLE), which names the file.
    """
    return [item for path in paths for item in _load(Path(path), session)]


def _load(path: Path, session: Session) -> Iterator[NamedInput]:
    magic = _magic(path)
    if magic.startswith(_NPY_MAGIC):
        yield from _load_array(path, session)
    elif magic.startswith(_ZIP_MAGIC) or path.suffix.lower() == ".npz":
        raise _unusable(path, "it is an archive of arrays (.npz)", "save a single array with numpy.save")
    elif path.suffix.lower() == ".npy":
        raise _unusable(path, "it is not a NumPy array file", "write it with numpy.save")
    else:
        yield str(path), load_picture(path, session)[1]


def _magic(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unusable(path, "it is a folder or a device, not a file", "pass the files in it")
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
            warnings.simplefilter("ignore")  # warnings about old headers
            # Memory-mapped, so that a header that declares more than the file has allocates nothing.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise _unusable(path, f"it is not a NumPy array of numbers: {error}", "write it with numpy.save") from error
    _check_kind(path, array, session)
    item = session.input_shape[1:]
    if fits(array.shape, item):
        yield str(path), _finite(path, array, session.dtype)
    elif fits(array.shape, (None, *item)) and len(array):
        for k, one in enumerate(_finite(path, array, session.dtype)):
            yield f"{path}[{k}]", one
    else:
        wanted = f"{show(item)}, or a batch {show((None, *item))}"
        raise _unusable(path, f"it has shape {show(array.shape)}, but the model takes {wanted}")


def _check_kind(path: Path, array: NDArray[Any], session: Session) -> None:
    """Require floats or uint8 as the model does: a conversion would be a guess."""
    if session.dtype.kind == "u" and array.dtype != session.dtype:
        hint = "the model takes raw pixels, 0 to 255: save them as uint8, or as a picture (PNG)"
        raise _unusable(path, f"its dtype is {array.dtype}, not {session.dtype}", hint)
    if session.dtype.kind == "f" and array.dtype.kind != "f":
        hint = "arrays must be preprocessed inputs; save raw pixels as a picture (PNG) instead"
        raise _unusable(path, f"its dtype is {array.dtype}, not a float dtype", hint)


def _finite(path: Path, array: NDArray[Any], dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        converted: Array = np.array(array, dtype)
    if not np.isfinite(converted).all():
        raise _unusable(path, f"it has values that are NaN or infinite in {dtype}")
    return converted


# ------------------------------------------------------------------ pictures


def load_picture(path: Path, session: Session) -> tuple[Pixels, Array]:
    """A picture as the network sees it, (height, width, 1 or 3) bytes, and as an input of the model.

    Raises InputError (INPUT_UNUSABLE), which names the file.
    """
    contract = session.metadata.preprocessing
    if contract is None:
        hint = "pass .npy arrays of preprocessed inputs, or export the model from its spec"
        raise _unusable(path, "the model doesn't declare its preprocessing", hint)
    match session.picture:
        case ((1 | 3) as channels, height, width):
            pass
        case _:
            hint = "pass .npy arrays of preprocessed inputs"
            why = f"a picture has 1 or 3 channels, but the model takes {show(session.input_shape)}"
            raise _unusable(path, why, hint)
    try:
        picture = decode(path)
    except PictureTooLargeError as error:
        raise _unusable(path, str(error), "scale it down first") from error
    except MemoryError as error:
        raise _unusable(path, "there is not enough memory to decode it") from error
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise _unusable(path, f"it can't be decoded: {error}", f"pictures are {', '.join(FORMATS)}") from error
    frame = frame_of((channels, height, width), contract, picture.size)
    try:
        pixels = to_frame(picture, frame)
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    if session.takes_pixels:
        return pixels, raw(pixels[None], contract, session.dtype)[0]
    return pixels, preprocess(pixels, contract, channels, session.dtype)


def _unusable(path: Path, why: str, hint: str | None = None) -> InputError:
    return InputError(Code.INPUT_UNUSABLE, f"{path} can't be used: {why}", hint=hint)
