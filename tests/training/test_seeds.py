"""The seeds' recipes run by name, on made data sets of the true formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nin_spec
from nin_spec.training.begin import train
from nin_spec.training.folder import read_rows
from nin_spec.training.settings import TrainSettings


def cifar10(folder: Path) -> Path:
    """CIFAR-10's binary version: records of a label and 3 x 32 x 32 bytes."""
    noise = np.random.default_rng(0)
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        records = noise.integers(0, 256, (20, 3073), np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / name).write_bytes(records.tobytes())
    return folder


def fashion_mnist(folder: Path) -> Path:
    """IDX files of 28 x 28 bytes, not gzipped."""
    noise = np.random.default_rng(0)
    for name in ("train", "t10k"):
        pixels = noise.integers(0, 256, (20, 28, 28), np.uint8)
        labels = (np.arange(20) % 10).astype(np.uint8)
        sizes = b"".join(n.to_bytes(4, "big") for n in (20, 28, 28))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + pixels.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + sizes[:4] + labels.tobytes())
    return folder


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("seed_cifar10_at_224", cifar10),
        ("seed_cifar10_at_224_sgd", cifar10),
        ("seed_fashion_mnist", fashion_mnist),
        ("seed_fashion_mnist_lazy", fashion_mnist),
    ],
)
def test_a_seed_trains_by_name(name: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Resized to 224 x 224, its own optimiser and initialisation; two epochs of one step, ten pictures."""
    network = nin_spec.compile(nin_spec.load(name, ["train.epochs=2"]))
    run = train(network, data=make(tmp_path), output=tmp_path / "run", settings=TrainSettings(threads=2, limit=10))
    rows = read_rows(run.path / "metrics.csv")
    assert [row["step"] for row in rows] == [1, 2]
    assert all(0 < row["train_loss"] < 10 for row in rows)
    assert run.record.data.scored_images == 10
