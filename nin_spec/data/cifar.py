"""CIFAR-10 and CIFAR-100, binary version: records of labels and 3,072 bytes, unpacked or in the .tar.gz."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nin_spec.data.arrays import ArraySplit, Blocks, class_numbers
from nin_spec.data.faults import damaged, missing, unreadable
from nin_spec.data.split import Indices, SplitName
from nin_spec.diagnostics import DataError
from nin_spec.files import write_atomic
from nin_spec.pictures import Pixels

_PICTURE = 3 * 32 * 32
_MAX_MEMBER = 50_000 * (2 + _PICTURE)
"""The largest published file."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one of the two: `limits` are the class counts of each label byte; the last byte is used."""

    title: str
    archive: str
    folder: str
    files: dict[SplitName, tuple[str, ...]]
    limits: tuple[int, ...]
    pickles: tuple[str, ...]

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return len(self.limits) + _PICTURE


LAYOUTS = {
    "cifar10": Layout(
        "CIFAR-10",
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-bin",
        {"train": tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test": ("test_batch.bin",)},
        (10,),
        ("cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1"),
    ),
    "cifar100": Layout(
        "CIFAR-100",
        "cifar-100-binary.tar.gz",
        "cifar-100-binary",
        {"train": ("train.bin",), "test": ("test.bin",)},
        (20, 100),
        ("cifar-100-python", "cifar-100-python.tar.gz", "meta"),
    ),
}
"""See https://www.cs.toronto.edu/~kriz/cifar.html. CIFAR-100 has coarse labels, then fine ones."""


def open_cifar(dataset: str, split: SplitName, location: Path, classes: tuple[str, ...]) -> ArraySplit:
    """A split from the folder of .bin files, its parent folder, or the downloaded .tar.gz.

    There may be fewer records than published, but only complete ones. Raises DataError.
    """
    layout = LAYOUTS[dataset]
    where, files = _find(dataset, layout.files[split], location)
    labels, pictures = [], []
    for name, data in files:
        records = _records(layout, name, data)
        labels.append(_labels(layout, name, records))
        pictures.append(records[:, len(layout.limits) :])
    blocks = Blocks(pictures)
    joined = np.concatenate(labels)
    joined.setflags(write=False)
    return ArraySplit(dataset, split, str(where), classes, joined, lambda indices: _planes(blocks.take(indices)))


def _planes(flat: Pixels) -> Pixels:
    """Red, green and blue planes of 32x32 as RGB pixels."""
    return flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _records(layout: Layout, name: str, data: Pixels) -> Pixels:
    whole, rest = divmod(len(data), layout.record)
    if rest:
        why = f"records have {layout.record:,} bytes, but the last, at byte {whole * layout.record:,}, has {rest:,}"
        raise damaged(name, why)
    if not whole:
        raise damaged(name, "it is empty")
    return data.reshape(whole, layout.record)


def _labels(layout: Layout, name: str, records: Pixels) -> Indices:
    """The last label byte of each record; all label bytes are checked."""
    for column, limit in enumerate(layout.limits):
        raw = np.asarray(records[:, column])
        numbers = class_numbers(raw, limit, name, _position(layout, column))
    return numbers


def _position(layout: Layout, column: int) -> Callable[[int], str]:
    """The position of a record's label, for messages."""
    return lambda k: f"byte {k * layout.record + column:,}"


# ------------------------------------------------------------------ finding the files


def _find(dataset: str, names: tuple[str, ...], location: Path) -> tuple[Path, list[tuple[str, Pixels]]]:
    """The path of the files, and each one's name and bytes."""
    layout = LAYOUTS[dataset]
    if location.is_file():
        return location, list(_unpack(location, names))
    for folder in (location, location / layout.folder):
        here = [folder / name for name in names if (folder / name).is_file()]
        if here and len(here) < len(names):
            absent = next(name for name in names if folder / name not in here)
            raise missing(f"{folder} has {here[0].name} but not {absent}: {layout.title} is incomplete there")
        if here:
            return folder, [(str(path), _map(path)) for path in here]
    if (location / layout.archive).is_file():
        return location / layout.archive, list(_unpack(location / layout.archive, names))
    raise _absent(dataset, names, location)


def _absent(dataset: str, names: tuple[str, ...], location: Path) -> DataError:
    layout = LAYOUTS[dataset]
    pickled = next((name for name in layout.pickles if (location / name).exists()), None)
    if pickled is not None:
        message = (
            f"{location / pickled} is {layout.title}'s Python version: pickle files, which can run code when loaded, "
            "so nin-spec never loads them"
        )
        return missing(message, f"use the binary version, {layout.archive}: nin-spec data fetch {dataset}")
    return missing(f"{location} contains neither {names[0]} nor {layout.folder}/{names[0]} nor {layout.archive}")


def _map(path: Path) -> Pixels:
    try:
        if not path.stat().st_size:
            raise damaged(path, "it is empty")
        return np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise unreadable(path, error) from None


def _unpack(archive: Path, names: tuple[str, ...]) -> Iterator[tuple[str, Pixels]]:
    """The members with these names, in this order, read into memory."""
    found = members(archive, names)
    for name in names:
        if name not in found:
            raise missing(f"{archive} does not contain {name}: it is truncated, or a different archive")
        yield f"{archive}/{name}", np.frombuffer(found[name], np.uint8)


def unpack(dataset: str, folder: Path) -> str:
    """Write the .bin files of the archive to a folder beside it, unless they exist. Returns a message.

    Only files with known names are extracted, and their paths in the archive are ignored, so that none can be written
    elsewhere.
    """
    layout = LAYOUTS[dataset]
    target, names = folder / layout.folder, tuple(name for split in layout.files.values() for name in split)
    if all((target / name).is_file() for name in names):
        return f"{target}: already unpacked"
    found = members(folder / layout.archive, names)
    if absent := [name for name in names if name not in found]:
        raise damaged(folder / layout.archive, f"it does not contain {absent[0]}")
    target.mkdir(exist_ok=True)
    for name, data in found.items():
        write_atomic(target / name, data)
    return f"{target}: unpacked"


def is_complete(dataset: str, folder: Path) -> bool:
    """True if a folder has the archive, or all the .bin files, directly or in a subfolder."""
    layout = LAYOUTS[dataset]
    names = [name for split in layout.files.values() for name in split]
    below = (folder, folder / layout.folder)
    return (folder / layout.archive).is_file() or any(all((f / n).is_file() for n in names) for f in below)


def members(archive: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The bytes of each regular member with one of these base names, read up to the archive's checksum.

    Raises DataError.
    """
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                found = {name: data for member in tar for name, data in _member(archive, tar, member, names)}
            while stream.read(_CHUNK):
                pass  # the checksum comes last
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise damaged(archive, f"it can't be unpacked: {error}") from None
    except OSError as error:
        raise unreadable(archive, error) from None
    return found


def _member(
    archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, names: tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    name = member.name.rpartition("/")[2]
    if not member.isreg() or name not in names:
        return
    if member.size > _MAX_MEMBER:
        raise damaged(archive, f"{name} declares {member.size:,} bytes")
    source = tar.extractfile(member)
    if source is not None:
        yield name, source.read()
