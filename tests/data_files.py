"""Small data sets in their true formats, and what tests ask of damaged ones."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nin_spec.data import Frame, Split
from nin_spec.diagnostics import Code, DataError

Pixels = NDArray[np.uint8]


def pixels(*shape: int, seed: int = 0) -> Pixels:
    """Noise, the same each time."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array: Pixels) -> bytes:
    """An IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def make_idx(folder: Path, count: int = 12, mark: str = "-", end: str = ".gz", classes: int = 10) -> dict[str, Pixels]:
    """A kin of MNIST with `count` training pictures and a third to test with; its arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for prefix, n in (("train", count), ("t10k", count // 3)):
        arrays[f"{prefix}-images"] = pixels(n, 7, 5, seed=n)
        arrays[f"{prefix}-labels"] = (np.arange(n) % classes).astype(np.uint8)
        for what, dims in (("images", 3), ("labels", 1)):
            data = idx_bytes(arrays[f"{prefix}-{what}"])
            path = folder / f"{prefix}-{what}{mark}idx{dims}-ubyte{end}"
            path.write_bytes(gzip.compress(data, mtime=0) if end else data)
    return arrays


def cifar_records(labels: NDArray[Any], seed: int = 0) -> bytes:
    """Records of (n, 1 or 2) labels and noise."""
    return np.concatenate([labels.astype(np.uint8), pixels(len(labels), 3072, seed=seed)], 1).tobytes()


def make_cifar10(folder: Path, count: int = 4) -> Path:
    """Five batches of `count` records and a test batch of as many."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(1, 6):
        labels = (np.arange(count)[:, None] + k) % 10
        (folder / f"data_batch_{k}.bin").write_bytes(cifar_records(labels, seed=k))
    (folder / "test_batch.bin").write_bytes(cifar_records(np.arange(count)[:, None] % 10, seed=9))
    return folder


def make_cifar100(folder: Path, count: int = 6) -> Path:
    """A training file and a test file, coarse labels and fine ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "test"):
        labels = np.stack([np.arange(count) % 20, 99 - np.arange(count)], 1)
        (folder / f"{name}.bin").write_bytes(cifar_records(labels, seed=len(name)))
    return folder


def pack(folder: Path, archive: Path, prefix: str) -> Path:
    """The files of a folder as a .tar.gz, under a path."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, f"{prefix}/{path.name}")
    return archive


def make_pictures(folder: Path, classes: dict[str, int], size: int = 6) -> Path:
    """Class folders of that many PNG files, whose first pixel tells them apart."""
    number = 0
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            picture = pixels(size, size, 3, seed=number)
            Image.fromarray(picture).save(folder / name / f"{k:03d}.png")
            number += 1
    return folder


def npz_bytes(save: Callable[..., None], arrays: dict[str, Any]) -> bytes:
    """An .npz archive, by numpy.savez or numpy.savez_compressed."""
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def all_of(split: Split, frame: Frame) -> Pixels:
    """Every picture of a split."""
    return split.pictures(np.arange(len(split)), frame)


def refusal(act: Callable[[], object], code: Code) -> str:
    """Message and hint of the one DataError that an act raises, which has this code."""
    with pytest.raises(DataError) as caught:
        act()
    (found,) = caught.value.diagnostics
    assert found.code is code
    return f"{found.message} | {found.hint}"


def replace_file(path: Path, data: bytes) -> Path:
    """A new file of that name; one that is still mapped keeps its bytes."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path
