"""Match the classes of a data set with those of a spec, before training."""

from __future__ import annotations

import numpy as np

from nin_spec.data.faults import misfit
from nin_spec.data.folder import FolderSplit
from nin_spec.data.split import Indices, Split
from nin_spec.data.views import View, renamed, renumbered

Names = tuple[str, ...]


def match_classes(part: Split, labels: Names, count: int) -> Split:
    """The split with the spec's classes. Raises DataError (DATA_MISFIT) if they can't be the same.

    `labels` are the spec's, empty when it only counts its classes. A folder's classes have no order, so their names
    must be the spec's (case-insensitive), which number them. Other data sets number their classes: a name in both must
    have the same number, and different names with one number are treated as the same class.
    """
    _require_count(part, labels, count)
    if not labels:
        return part
    ours, theirs = _folded(part.classes, labels)
    if ours == theirs:
        return part if part.classes == labels else renamed(part, labels)
    if _of_folder(part):
        return renumbered(part, labels, _numbers(part, ours, theirs, labels))
    _require_order(part, ours, theirs, labels)
    return renamed(part, labels)


def _require_count(part: Split, labels: Names, count: int) -> None:
    if len(part.classes) != count:
        message = (
            f"{part.dataset} has {len(part.classes)} classes ({_some(part.classes)}), but the spec has {count}"
            + (f" ({_some(labels)})" if labels else "")
            + f"; read from {part.where}"
        )
        raise misfit(message, f"set classes: {len(part.classes)} in the spec, or use another data set")
    if len(part) and not 0 <= int(part.labels.min()) <= int(part.labels.max()) < count:
        message = (
            f"{part.dataset} has labels {part.labels.min()} to {part.labels.max()}, but the spec has {count} classes"
        )
        raise misfit(f"{message}; read from {part.where}")


def _numbers(part: Split, ours: Names, theirs: Names, labels: Names) -> Indices:
    """The spec's number of each of a folder's classes."""
    place = {name: k for k, name in enumerate(theirs)}
    strange = [name for name, folded in zip(part.classes, ours, strict=True) if folded not in place]
    if strange:
        absent = [label for label, folded in zip(labels, theirs, strict=True) if folded not in ours]
        message = f"{part.where} has class folders that are not labels of the spec: {_some(strange)}"
        hint = f"name the folders after the spec's labels (missing: {_some(absent)}), or set the number of classes"
        raise misfit(message, f"{hint}: classes: {len(labels)}")
    return np.array([place[folded] for folded in ours], np.int64)


def _require_order(part: Split, ours: Names, theirs: Names, labels: Names) -> None:
    number = {name: k for k, name in enumerate(ours)}
    for k, folded in enumerate(theirs):
        own = number.get(folded, k)
        if own != k:
            message = f"class {k} of the spec is {labels[k]}, but in {part.dataset} {labels[k]} is class {own}"
            raise misfit(message, f"list the spec's classes in the data set's order: {', '.join(part.classes)}")


def _of_folder(part: Split) -> bool:
    while isinstance(part, View):
        part = part.base
    return isinstance(part, FolderSplit)


def _folded(ours: Names, theirs: Names) -> tuple[Names, Names]:
    """Both in lower case, unless two classes differ only in case."""
    folded = tuple(tuple(name.casefold() for name in names) for names in (ours, theirs))
    if any(len(set(names)) < len(names) for names in folded):
        return ours, theirs
    return folded[0], folded[1]


def _some(names: Names | list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
