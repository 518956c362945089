"""Do the classes of a data set and those of a spec mean the same? Said before a step is trained."""

from __future__ import annotations

import numpy as np

from nin_spec.data.faults import misfit
from nin_spec.data.folder import FolderPart
from nin_spec.data.part import Numbers, Part
from nin_spec.data.views import View, renamed, renumbered

Names = tuple[str, ...]


def match_classes(part: Part, labels: Names, count: int) -> Part:
    """The part with the spec's classes; raises DataError DATA_MISFIT where they can't be the same.

    `labels` are the spec's, empty when it only counts its classes. A folder's classes have no order of
    their own, so they must bear the spec's names (in any case of letters) and are numbered by them. Other
    data sets number their classes: there a name both sides know must have one number, and other spellings
    are taken for the same class.
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


def _require_count(part: Part, labels: Names, count: int) -> None:
    if len(part.classes) != count:
        message = (
            f"{part.dataset} has {len(part.classes)} classes ({_some(part.classes)}) and the spec has {count}"
            + (f" ({_some(labels)})" if labels else "")
            + f"; read from {part.where}"
        )
        raise misfit(message, f"set classes: {len(part.classes)} in the spec, or take another data set")
    if len(part) and not 0 <= int(part.labels.min()) <= int(part.labels.max()) < count:
        message = f"{part.dataset} has labels {part.labels.min()} to {part.labels.max()}, and the spec {count} classes"
        raise misfit(f"{message}; read from {part.where}")


def _numbers(part: Part, ours: Names, theirs: Names, labels: Names) -> Numbers:
    """The spec's number of each of a folder's classes."""
    place = {name: k for k, name in enumerate(theirs)}
    strange = [name for name, folded in zip(part.classes, ours, strict=True) if folded not in place]
    if strange:
        absent = [label for label, folded in zip(labels, theirs, strict=True) if folded not in ours]
        message = f"{part.where} has class folders that the spec doesn't name: {_some(strange)}"
        hint = f"name the folders as the spec its classes (without a folder: {_some(absent)}), or let it count them"
        raise misfit(message, f"{hint}: classes: {len(labels)}")
    return np.array([place[folded] for folded in ours], np.int64)


def _require_order(part: Part, ours: Names, theirs: Names, labels: Names) -> None:
    number = {name: k for k, name in enumerate(ours)}
    for k, folded in enumerate(theirs):
        own = number.get(folded, k)
        if own != k:
            message = f"class {k} of the spec is {labels[k]}, and in {part.dataset} {labels[k]} is class {own}"
            raise misfit(message, f"list the spec's classes in the data set's order: {', '.join(part.classes)}")


def _of_folder(part: Part) -> bool:
    while isinstance(part, View):
        part = part.base
    return isinstance(part, FolderPart)


def _folded(ours: Names, theirs: Names) -> tuple[Names, Names]:
    """Both without the case of letters, unless that alone tells two classes apart."""
    folded = tuple(tuple(name.casefold() for name in names) for names in (ours, theirs))
    if any(len(set(names)) < len(names) for names in folded):
        return ours, theirs
    return folded[0], folded[1]


def _some(names: Names | list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
