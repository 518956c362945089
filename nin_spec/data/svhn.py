"""Street View House Numbers, cropped to 32x32: train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.arrays import ArraySplit, class_numbers
from nin_spec.data.faults import damaged, missing
from nin_spec.data.matlab import read_matlab
from nin_spec.data.split import SplitName


def open_svhn(dataset: str, split: SplitName, folder: Path, classes: tuple[str, ...]) -> ArraySplit:
    """A split, unpacked into memory. The digit 0 is class 10 in the files, and class 0 here. Raises DataError."""
    path = folder / f"{split}_32x32.mat"
    if not path.is_file():
        raise missing(f"{folder} does not contain {path.name}")
    variables = read_matlab(path, ("X", "y"))
    x, y = (_variable(path, variables, name) for name in "Xy")
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[:3] != (32, 32, 3) or not x.shape[3]:
        raise damaged(path, f"X is {x.dtype} {x.shape}, but uint8 (32, 32, 3, n) in SVHN")
    if y.dtype.kind not in "iu" or y.shape not in {(x.shape[3], 1), (1, x.shape[3])}:
        raise damaged(
            path, f"y is {y.dtype} {y.shape}; {x.shape[3]:,} pictures need integer labels ({x.shape[3]:,}, 1)"
        )
    raw = class_numbers(y.ravel(), 11, path, lambda k: f"y[{k}]")
    labels = np.where(raw == 10, 0, raw)
    labels.setflags(write=False)
    pictures = np.moveaxis(x, 3, 0)
    return ArraySplit(dataset, split, str(path), classes, labels, lambda indices: pictures[indices])


def is_complete(folder: Path) -> bool:
    """True if both splits exist."""
    return all((folder / f"{split}_32x32.mat").is_file() for split in ("train", "test"))


def _variable(path: Path, variables: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in variables:
        raise damaged(path, f"it has no numeric array named {name}")
    return variables[name]
