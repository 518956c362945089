"""Match the classes of a data set with those of a spec, before training."""

from __future__ import annotations

import numpy as np

from nin_spec.data.faults import misfit
from nin_spec.data.folder import FolderSplit
from nin_spec.data.split import Indices, Split
from nin_spec.data.views import View, renamed, renumbered

Names = tuple[str, ...]


def match_classes(split: Split, labels: Names, count: int) -> Split:
    """The split with the spec's classes. Raises DataError (DATA_MISFIT) if they can't be the same.

    `labels` are the spec's, empty when it only counts its classes. A folder's classes have no order, so their names
    must be the spec's (case-insensitive), which number them. Other data sets number their classes: a name in both must
    have the same number, and different names with one number are treated as the same class.
    """
    _require_count(split, labels, count)
    if not labels:
        return split
    ours, theirs = _folded(split.classes, labels)
    if ours == theirs:
        return split if split.classes == labels else renamed(split, labels)
    if _of_folder(split):
        return renumbered(split, labels, _numbers(split, ours, theirs, labels))
    _require_order(split, ours, theirs, labels)
    return renamed(split, labels)


def _require_count(split: Split, labels: Names, count: int) -> None:
    if len(split.classes) != count:
        message = (
            f"{split.dataset} has {len(split.classes)} classes ({_some(split.classes)}), but the spec has {count}"
            + (f" ({_some(labels)})" if labels else "")
            + f"; read from {split.where}"
        )
        raise misfit(message, f"set classes: {len(split.classes)} in the spec, or use another data set")
    if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < count:
        message = (
            f"{split.dataset} has labels {split.labels.min()} to {split.labels.max()}, but the spec has {count} classes"
        )
        raise misfit(f"{message}; read from {split.where}")


def _numbers(split: Split, ours: Names, theirs: Names, labels: Names) -> Indices:
    """The spec's number of each of a folder's classes."""
    place = {name: k for k, name in enumerate(theirs)}
    strange = [name for name, folded in zip(split.classes, ours, strict=True) if folded not in place]
    if strange:
        absent = [label for label, folded in zip(labels, theirs, strict=True) if folded not in ours]
        message = f"{split.where} has class folders that are not labels of the spec: {_some(strange)}"
        hint = f"name the folders after the spec's labels (missing: {_some(absent)}), or set the number of classes"
        raise misfit(message, f"{hint}: classes: {len(labels)}")
    return np.array([place[folded] for folded in ours], np.int64)


def _require_order(split: Split, ours: Names, theirs: Names, labels: Names) -> None:
    number = {name: k for k, name in enumerate(ours)}
    for k, folded in enumerate(theirs):
        own = number.get(folded, k)
        if own != k:
            message = f"class {k} of the spec is {labels[k]}, but in {split.dataset} {labels[k]} is class {own}"
            raise misfit(message, f"list the spec's classes in the data set's order: {', '.join(split.classes)}")


def _of_folder(split: Split) -> bool:
    while isinstance(split, View):
        split = split.base
    return isinstance(split, FolderSplit)


def _folded(ours: Names, theirs: Names) -> tuple[Names, Names]:
    """Both in lower case, unless two classes differ only in case."""
    folded = tuple(tuple(name.casefold() for name in names) for names in (ours, theirs))
    if any(len(set(names)) < len(names) for names in folded):
        return ours, theirs
    return folded[0], folded[1]


def _some(names: Names | list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
