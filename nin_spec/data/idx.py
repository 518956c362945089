"""IDX, the format of MNIST and similar data sets: a magic number, the sizes, the bytes; optionally gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from nin_spec.data.arrays import ArraySplit, class_numbers, numbered
from nin_spec.data.faults import damaged, missing, unreadable
from nin_spec.data.split import SplitName
from nin_spec.pictures import Pixels

PREFIXES: dict[SplitName, str] = {"train": "train", "test": "t10k"}
_CHUNK = 1 << 20
_MAX_UNPACKED = 8 << 30


def open_idx(
    dataset: str, split: SplitName, folder: Path, classes: tuple[str, ...] | None = None, inside: tuple[str, ...] = ()
) -> ArraySplit:
    """A split in the format of MNIST: train-images-idx3-ubyte and the three related files, .gz or not.

    The files are in the folder, in its raw/, or in one of the subfolders `inside`. Without `classes`, the largest label
    of both splits gives their number. Raises DataError.
    """
    images, labels = (find_idx(folder, PREFIXES[split], what, inside) for what in ("images", "labels"))
    if classes is None:
        found = (find_idx(folder, prefix, "labels", inside) for prefix in PREFIXES.values())
        classes = numbered(1 + max(int(read_idx(path, 1).max()) for path in found))
    return pair_up(dataset, split, images, labels, classes)


def pair_up(dataset: str, split: SplitName, images: Path, labels: Path, classes: tuple[str, ...]) -> ArraySplit:
    """The split of two files, checked to belong together."""
    pictures, raw = read_idx(images, 3), read_idx(labels, 1)
    if len(pictures) != len(raw):
        raise damaged(labels, f"it has {len(raw):,} labels, but {images.name} has {len(pictures):,} pictures")
    numbers = class_numbers(raw, len(classes), labels, lambda k: f"byte {8 + k}{_unpacked(labels)}")
    return ArraySplit(dataset, split, str(images), classes, numbers, lambda indices: np.asarray(pictures[indices]))


def has_idx(folder: Path, inside: tuple[str, ...] = ()) -> bool:
    """True if the folder has training or test pictures in IDX."""
    return any(_present(folder, prefix, "images", inside) for prefix in PREFIXES.values())


def is_complete(folder: Path, inside: tuple[str, ...] = ()) -> bool:
    """True if both splits have their pictures and labels."""
    return all(_present(folder, prefix, what, inside) for prefix in PREFIXES.values() for what in ("images", "labels"))


def find_idx(folder: Path, prefix: str, what: str, inside: tuple[str, ...] = ()) -> Path:
    """The file of a split's images or labels, preferring the plain one to the .gz. Raises DataError (DATA_MISSING)."""
    path = _present(folder, prefix, what, inside)
    if path is None:
        name = f"{prefix}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
        raise missing(f"{folder} does not contain {name} (nor the same without .gz, nor in raw/)")
    return path


def _present(folder: Path, prefix: str, what: str, inside: tuple[str, ...]) -> Path | None:
    dims = 3 if what == "images" else 1
    names = [f"{prefix}-{what}{mark}idx{dims}-ubyte{end}" for end in ("", ".gz") for mark in "-."]
    paths = (folder / sub / name for sub in ("", "raw", *inside) for name in names)
    return next((path for path in paths if path.is_file()), None)


# ------------------------------------------------------------------ one file


def read_idx(path: Path, dims: int) -> Pixels:
    """The array of a file of unsigned bytes with `dims` dimensions; memory-mapped, unless gzipped.

    Raises DataError, which names the byte. Sizes are checked before memory is allocated.
    """
    try:
        return _read_packed(path, dims) if _packed(path) else _map_plain(path, dims)
    except OSError as error:
        raise unreadable(path, error) from None


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _map_plain(path: Path, dims: int) -> Pixels:
    size, start = path.stat().st_size, 4 + 4 * dims
    with path.open("rb") as file:
        shape = _shape(path, file.read(start), dims)
    _require_length(path, size, start + math.prod(shape))
    return np.memmap(path, np.uint8, "r", start, shape)


def _read_packed(path: Path, dims: int) -> Pixels:
    start, data = 4 + 4 * dims, bytearray()
    try:
        with gzip.open(path) as file:
            shape = _shape(path, file.read(start), dims)
            size = math.prod(shape)
            if size > _MAX_UNPACKED:
                raise damaged(path, f"its header declares {size:,} bytes; unpack it with gunzip if that is correct")
            while len(data) <= size and (chunk := file.read(_CHUNK)):
                data += chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"its gzip stream is corrupt after {len(data):,} unpacked bytes: {error}") from None
    _require_length(path, start + len(data), start + size)
    return np.frombuffer(bytes(data), np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, dims: int) -> tuple[int, ...]:
    """The sizes that a header declares, none of them 0."""
    wanted = bytes((0, 0, 8, dims))
    if header[:4] != wanted[: len(header)]:
        at = next(k for k in range(4) if header[k] != wanted[k])
        kind = "pictures" if dims == 3 else "labels"
        why = f"byte {at} is {header[at]}, but {wanted[at]} in an IDX file of {kind} (unsigned bytes)"
        raise damaged(path, why + _unpacked(path))
    if len(header) < 4 + 4 * dims:
        raise damaged(path, f"it ends at byte {len(header)}, inside the header{_unpacked(path)}")
    shape = tuple(int.from_bytes(header[4 + 4 * k : 8 + 4 * k], "big") for k in range(dims))
    if 0 in shape:
        raise damaged(path, f"the size at byte {4 + 4 * shape.index(0)} is 0{_unpacked(path)}")
    return shape


def _require_length(path: Path, found: int, wanted: int) -> None:
    if found < wanted:
        raise damaged(path, f"it ends at byte {found:,} of the {wanted:,} that its header declares{_unpacked(path)}")
    if found > wanted:
        raise damaged(path, f"it has data after byte {wanted:,}, the end according to its header{_unpacked(path)}")


def _unpacked(path: Path) -> str:
    return " (counted unpacked)" if _packed(path) else ""
