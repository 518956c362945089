"""Street View House Numbers, cropped to 32x32: train_32x32.mat and test_32x32.mat, read by SciPy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.data.arrays import ArrayPart, class_numbers
from nin_spec.data.faults import damaged, missing
from nin_spec.data.part import PartName
from nin_spec.extras import need


def open_svhn(dataset: str, part: PartName, folder: Path, classes: tuple[str, ...]) -> ArrayPart:
    """A part, decompressed into memory. The files call the digit 0 class 10; here it is class 0.

    Raises DataError, and InputError EXTRA_MISSING without SciPy.
    """
    path = folder / f"{part}_32x32.mat"
    if not path.is_file():
        raise missing(f"{folder} holds no {path.name}")
    variables = _load(path)
    x, y = (_variable(path, variables, name) for name in "Xy")
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[:3] != (32, 32, 3) or not x.shape[3]:
        raise damaged(path, f"X is {x.dtype} {x.shape}, where SVHN has uint8 (32, 32, 3, n)")
    if y.dtype.kind not in "iu" or y.shape not in {(x.shape[3], 1), (1, x.shape[3])}:
        raise damaged(path, f"y is {y.dtype} {y.shape}, where {x.shape[3]:,} pictures have labels ({x.shape[3]}, 1)")
    raw = class_numbers(y.ravel(), 11, path, lambda k: f"y[{k}]")
    labels = np.where(raw == 10, 0, raw)
    labels.setflags(write=False)
    pictures = np.moveaxis(x, 3, 0)
    return ArrayPart(dataset, part, str(path), classes, labels, lambda indices: pictures[indices])


def _load(path: Path) -> dict[str, Any]:
    scipy_io = need("scipy.io", "reading SVHN")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on variables that nobody asked for
            variables: dict[str, Any] = scipy_io.loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # noqa: BLE001 its parser may raise anything on a damaged file
        raise damaged(path, f"it is no MATLAB file that SciPy can read: {str(error) or type(error).__name__}") from None
    return variables


def _variable(path: Path, variables: dict[str, Any], name: str) -> NDArray[Any]:
    value = variables.get(name)
    if not isinstance(value, np.ndarray):
        raise damaged(path, f"it holds no array {name}")
    return value
