"""From a name or a path to a split: detects the format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nin_spec.data import archive, cifar, digits, folder, idx, svhn
from nin_spec.data.catalog import CATALOG, place_of
from nin_spec.data.faults import missing, unreadable
from nin_spec.data.nearby import TORCHVISION, hint_at_nearby, holds
from nin_spec.data.split import Split, SplitName
from nin_spec.diagnostics import DataError, Diagnostic, did_you_mean
from nin_spec.files import as_written, why_missing


def open_split(dataset: str, split: SplitName, location: Path | None = None) -> Split:
    """The training or the test split of a data set.

    A known name (nin_spec.data.catalog) is read from `location`, or else from the target of `nin-spec data fetch`;
    `digits` is bundled. An .npz at `location`, or pictures in train/CLASS/, are read under any name; an unknown name
    needs a location. Raises DataError (DATA_MISSING, DATA_DAMAGED or DATA_MISFIT).
    """
    found, faults = inspect_split(dataset, split, location)
    if faults:
        raise DataError(faults)
    return found


def inspect_split(dataset: str, split: SplitName, location: Path | None = None) -> tuple[Split, list[Diagnostic]]:
    """The same for the usable files, and diagnostics for the other files of a folder of pictures.

    Raises DataError if nothing is usable.
    """
    place = place_for(dataset, location)
    if place is None:
        return digits.open_digits(split), []
    try:
        found, faults = _open_at(dataset, split, place)
    except OSError as error:
        raise unreadable(place, error) from None
    except DataError as error:
        raise DataError(hint_at_nearby(error.diagnostics, dataset, place)) from None
    if faults and not len(found):
        raise DataError(hint_at_nearby(faults, dataset, place))
    return found, faults


def place_for(dataset: str, location: Path | None = None) -> Path | None:
    """The path of a data set.

    None for the bundled one. Nothing is read. Raises DataError (DATA_MISSING) if the path does not exist or the name is
    unknown.
    """
    if location is not None:
        if not location.exists():
            why, cure = why_missing(location)
            raise missing(f"{as_written(location)}: {why}", cure or f"pass the path of the data set {dataset}")
        return location
    if dataset not in CATALOG:
        hint = f"{did_you_mean(dataset, list(CATALOG))}; pass --data DIR for your own"
        if Path(dataset).exists():
            hint = f"{dataset} is in the current folder: pass --data {dataset}"
        raise missing(f"{dataset} is neither a folder nor a known data set", hint)
    entry = CATALOG[dataset]
    if not entry.downloads:
        return None
    place = place_of(dataset)
    if not place.exists():
        hint = f"run nin-spec data fetch {dataset}, or pass --data DIR if you have it"
        raise missing(f"{entry.title} is not here: {place} does not exist", hint)
    return place


def place_beside(dataset: str, folders: Iterable[Path]) -> Path | None:
    """A folder or an .npz with the data set's name in one of the folders, unless it is bundled or fetched.

    Nothing is read.
    """
    if dataset in CATALOG and (not CATALOG[dataset].downloads or place_of(dataset).exists()):
        return None
    places = (folder / name for folder in folders for name in (dataset, f"{dataset}.npz"))
    return next((place for place in places if place.is_dir() or (place.suffix == ".npz" and place.is_file())), None)


def _open_at(dataset: str, split: SplitName, location: Path) -> tuple[Split, list[Diagnostic]]:
    if location.is_file():
        return _open_file(dataset, split, location), []
    if folder.is_split(location):
        return folder.look_over(dataset, split, location)
    known = _open_known(dataset, split, location)
    if known is None and idx.has_idx(location):  # MNIST's format, by its file names
        known = idx.open_idx(dataset, split, location)
    return (known, []) if known is not None else folder.look_over(dataset, split, location)


def _open_file(dataset: str, split: SplitName, location: Path) -> Split:
    if dataset in cifar.LAYOUTS and location.name.endswith((".tar.gz", ".tgz")):
        return cifar.open_cifar(dataset, split, location, CATALOG[dataset].classes)
    with location.open("rb") as file:
        if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
            hint = "pass a folder, or an .npz archive of x_train, y_train, x_test and y_test"
            raise missing(f"{location} is not a data set", hint)
    entry = CATALOG.get(dataset)
    return archive.open_archive(dataset, split, location, entry.classes if entry else None)


def _open_known(dataset: str, split: SplitName, location: Path) -> Split | None:
    """The data sets with their own format."""
    classes = CATALOG[dataset].classes if dataset in CATALOG else ()
    match dataset:
        case "mnist" | "fashion_mnist":
            return idx.open_idx(dataset, split, location, classes, TORCHVISION[dataset])
        case "cifar10" | "cifar100":
            return cifar.open_cifar(dataset, split, location, classes)
        case "svhn":
            return svhn.open_svhn(dataset, split, location, classes)
    return None


def is_here(dataset: str) -> bool:
    """True if the files of a known data set are in the target folder of `nin-spec data fetch`; none is read."""
    return not CATALOG[dataset].downloads or holds(dataset, place_of(dataset))
