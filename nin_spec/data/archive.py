"""Arrays in one .npz, under the names of Keras (x_train, y_train, x_test, y_test) or MedMNIST (train_images, ...)."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.arrays import ArraySplit, class_numbers, numbered
from nin_spec.data.faults import damaged, misfit, missing, unreadable
from nin_spec.data.split import SplitName
from nin_spec.diagnostics import DataError
from nin_spec.pictures import Pixels

NAMES: tuple[dict[SplitName, tuple[str, str]], ...] = (
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
    {"train": ("train_images", "train_labels"), "test": ("test_images", "test_labels")},
)
_LOCAL_HEADER = 30
_DEFLATE_RATIO = 1033
"""A deflate stream expands to at most 1032 times its size."""
_LONGEST_HEADER = 1 << 16
_MOST_UNPACKED = 1 << 32
"""Most bytes of a compressed array, which must be unpacked into memory."""


def open_archive(dataset: str, split: SplitName, path: Path, classes: tuple[str, ...] | None = None) -> ArraySplit:
    """A split of an .npz; arrays stored without compression are memory-mapped. Nothing is unpickled.

    Pictures are uint8 (n, H, W) or (n, H, W, 1 or 3), labels whole numbers (n,) or (n, 1). Without `classes`, the
    largest label of both splits gives their number. Raises DataError.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = _names(path, file)
            labels = {p: _labels(path, file, names[p][1]) for p in names}
            pictures = _pictures(path, file, names[split][0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, f"it is not a complete .npz archive: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    raw, name = labels[split], names[split][1]
    if len(raw) != len(pictures):
        raise damaged(path, f"{name} has {len(raw):,} labels, but {names[split][0]} has {len(pictures):,} pictures")
    if classes is None:
        classes = numbered(1 + max(int(of.max()) for of in labels.values()))
    numbers = class_numbers(raw, len(classes), path, lambda k: f"{name}[{k}]")
    return ArraySplit(dataset, split, str(path), classes, numbers, lambda indices: np.asarray(pictures[indices]))


def is_archive(path: Path) -> bool:
    """True for an .npz with the arrays of a data set, by their names."""
    if path.suffix != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return bool(_names(path, file))
    except (zipfile.BadZipFile, OSError, DataError):
        return False


def _names(path: Path, file: zipfile.ZipFile) -> dict[SplitName, tuple[str, str]]:
    """The array names of the pictures and labels of each split."""
    held = {name.removesuffix(".npy") for name in file.namelist()}
    for names in NAMES:
        wanted = {name for pair in names.values() for name in pair}
        if wanted <= held:
            return names
    wanted_by = " or ".join(", ".join(name for pair in names.values() for name in pair) for names in NAMES)
    raise missing(f"{path} has {', '.join(sorted(held)[:8]) or 'no arrays'}; a data set has {wanted_by}")


def _labels(path: Path, file: zipfile.ZipFile, name: str) -> NDArray[np.integer[Any]]:
    array = _read(path, file, name)
    if array.dtype.kind not in "iu":
        raise misfit(f"{name} in {path} has dtype {array.dtype}; labels must be integers")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise misfit(f"{name} in {path} has shape {array.shape}; labels must be (n,), one class per picture")
    if int(array.max()) > 1 << 20:
        raise damaged(path, f"{name} has the label {array.max()}, which is too large for a class number")
    return array


def _pictures(path: Path, file: zipfile.ZipFile, name: str) -> Pixels:
    array = _read(path, file, name)
    if array.dtype != np.uint8:
        raise misfit(f"{name} in {path} has dtype {array.dtype}; pictures must be uint8")
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)) or 0 in array.shape:
        hint = "write channels last: x.transpose(0, 2, 3, 1)" if array.ndim == 4 and array.shape[1] in (1, 3) else None
        raise misfit(f"{name} in {path} has shape {array.shape}; pictures must be (n, H, W) or (n, H, W, 1 or 3)", hint)
    return array


# ------------------------------------------------------------------ one array


def _read(path: Path, file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """An array of the archive; its header is checked against the sizes before anything is allocated."""
    info = file.getinfo(f"{name}.npy" if f"{name}.npy" in file.namelist() else name)
    with file.open(info) as source:
        head = io.BytesIO(source.read(_LONGEST_HEADER))  # which may claim to be gigabytes long
        dtype, fortran, shape = _header(path, name, head)
        start, size = head.tell(), math.prod(shape) * dtype.itemsize
        promised = f"{name} declares {size:,} bytes of {dtype}"
        if start + size != info.file_size:
            raise damaged(path, f"{promised} but has {info.file_size - start:,}")
        if info.file_size > info.compress_size * _DEFLATE_RATIO or info.compress_size > path.stat().st_size:
            raise damaged(path, f"{promised}, more than the archive can contain")
        order: Literal["C", "F"] = "F" if fortran else "C"
        array: NDArray[Any]
        if info.compress_type == zipfile.ZIP_STORED and size:
            array = np.memmap(path, dtype, "r", _offset(path, info) + start, shape, order)
            return array
        if size > _MOST_UNPACKED:
            raise misfit(
                f"{promised}, compressed: too many to unpack into memory",
                "use np.savez, which stores arrays uncompressed",
            )
        source.seek(start)
        data = source.read()
    if len(data) != size:
        raise damaged(path, f"{promised} but has {len(data):,}")
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    return array


def _header(path: Path, name: str, source: io.BytesIO) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    formats = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about headers written by Python 2
            shape, fortran, dtype = formats[np.lib.format.read_magic(source)](source)
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # noqa: BLE001 the header is a Python literal: its parser may raise anything
        raise damaged(path, f"{name} has an invalid NumPy header: {error}") from None
    if dtype.hasobject or dtype.itemsize == 0:
        raise misfit(f"{name} in {path} contains Python objects, which are never loaded")
    if any(size < 0 for size in shape):
        raise damaged(path, f"{name} has shape {shape}")
    return dtype, fortran, shape


def _offset(path: Path, info: zipfile.ZipInfo) -> int:
    """The offset of a stored member's bytes."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise damaged(path, f"byte {info.header_offset:,} does not start an archive member")
    return info.header_offset + _LOCAL_HEADER + sum(int.from_bytes(header[k : k + 2], "little") for k in (26, 28))
