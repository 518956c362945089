"""If the wrong folder is passed, the right one is usually inside it: find it, and say so in a hint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from nin_spec.data import archive, cifar, folder, idx, svhn
from nin_spec.diagnostics import Code, Diagnostic

TORCHVISION = {"mnist": ("MNIST/raw",), "fashion_mnist": ("FashionMNIST/raw",)}
"""Subfolders that torchvision creates in the folder it is given."""
_LOOKED_AT = 1000
"""Limit of folder entries, so that a mistaken `--data /` stays fast."""


def hint_at_nearby(faults: Iterable[Diagnostic], dataset: str, location: Path | None) -> list[Diagnostic]:
    """The diagnostics; if the folder is not the data set but contains it, the first one says where."""
    first, *others = faults
    right = None
    astray = first.code in (Code.DATA_MISSING, Code.DATA_MISFIT)
    if location is not None and astray and location.is_dir() and not folder.is_split(location):
        right = next((place for place in _below(location) if holds(dataset, place)), None)
    if right is not None:
        first = replace(first, hint=f"pass {right}, which looks like the data set")
    return [first, *others]


def holds(dataset: str, place: Path) -> bool:
    """Whether a path looks like a data set's, by file names only."""
    match dataset:
        case "mnist" | "fashion_mnist":
            return idx.is_complete(place, TORCHVISION[dataset])
        case "cifar10" | "cifar100":
            return cifar.is_complete(dataset, place)
        case "svhn":
            return svhn.is_complete(place)
    return idx.is_complete(place) or _has_both(place) or archive.is_archive(place)


def _has_both(place: Path) -> bool:
    """Class folders in train/ and in test/ or val/."""
    return folder.is_split(place) and any(folder.has_classes(place / name) for name in folder.TEST_FOLDERS)


def _below(location: Path) -> Iterator[Path]:
    """The entries of a folder, then those of its subfolders; unreadable ones are skipped."""
    first = list(_entries(location))
    yield from first
    deeper = (entry for place in first if place.is_dir() for entry in _entries(place))
    yield from islice(deeper, _LOOKED_AT)


def _entries(place: Path) -> Iterator[Path]:
    try:
        with os.scandir(place) as entries:
            names = sorted(entry.name for entry in islice(entries, _LOOKED_AT) if not folder.is_passed_over(entry.name))
    except OSError:
        return
    yield from (place / name for name in names)
