"""From a name, or a place, to a part: which format is it?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nin_spec.data import archive, cifar, digits, folder, idx, svhn
from nin_spec.data.catalog import CATALOG, place_of
from nin_spec.data.faults import missing, unreadable
from nin_spec.data.nearby import TORCHVISION, hint_at_nearby, holds
from nin_spec.data.part import Part, PartName
from nin_spec.diagnostics import DataError, Diagnostic, did_you_mean


def open_part(dataset: str, part: PartName, location: Path | None = None) -> Part:
    """The training or the test part of a data set.

    A known name (nin_spec.data.catalog) is looked for at `location`, or else where `nin-spec data fetch`
    puts it; `digits` comes along. An .npz at `location`, or pictures in train/CLASS/, are taken whatever
    the name; another name needs a location. Raises DataError: DATA_MISSING, DATA_DAMAGED, DATA_MISFIT.
    """
    found, faults = inspect_part(dataset, part, location)
    if faults:
        raise DataError(faults)
    return found


def inspect_part(dataset: str, part: PartName, location: Path | None = None) -> tuple[Part, list[Diagnostic]]:
    """The same of what can be used, and what is wrong with other files of a folder of pictures.

    Raises DataError where nothing can be used.
    """
    place = place_for(dataset, location)
    if place is None:
        return digits.open_digits(part), []
    try:
        found, faults = _open_at(dataset, part, place)
    except OSError as error:
        raise unreadable(place, error) from None
    except DataError as error:
        raise DataError(hint_at_nearby(error.diagnostics, dataset, place)) from None
    if faults and not len(found):
        raise DataError(hint_at_nearby(faults, dataset, place))
    return found, faults


def place_for(dataset: str, location: Path | None = None) -> Path | None:
    """Where a data set is to be read from; None for the one that comes along. Nothing is read.

    Raises DataError DATA_MISSING when there is no such place, or no such name.
    """
    if location is not None:
        if not location.exists():
            raise missing(f"there is no {location}", f"the data set {dataset} is to be read from there")
        return location
    if dataset not in CATALOG:
        hint = f"{did_you_mean(dataset, list(CATALOG))}; your own are read with --data DIR"
        if Path(dataset).exists():
            hint = f"{dataset} is in the working folder: pass --data {dataset}"
        raise missing(f"there is no folder {dataset}, and no data set is known as {dataset!r}", hint)
    entry = CATALOG[dataset]
    if not entry.downloads:
        return None
    place = place_of(dataset)
    if not place.exists():
        hint = f"nin-spec data fetch {dataset}, or --data DIR where it lies already"
        raise missing(f"{entry.title} is not here: there is no {place}", hint)
    return place


def place_beside(dataset: str, folders: Iterable[Path]) -> Path | None:
    """A folder, or an .npz, of the data set's name in one of the folders, where the name has no other place.

    A bundled or fetched data set is read from its own place. Nothing is read here.
    """
    if dataset in CATALOG and (not CATALOG[dataset].downloads or place_of(dataset).exists()):
        return None
    places = (folder / name for folder in folders for name in (dataset, f"{dataset}.npz"))
    return next((place for place in places if place.is_dir() or (place.suffix == ".npz" and place.is_file())), None)


def _open_at(dataset: str, part: PartName, location: Path) -> tuple[Part, list[Diagnostic]]:
    if location.is_file():
        return _open_file(dataset, part, location), []
    if folder.is_split(location):
        return folder.look_over(dataset, part, location)
    known = _open_known(dataset, part, location)
    if known is None and idx.has_idx(location):  # MNIST's kin, by its file names
        known = idx.open_idx(dataset, part, location)
    return (known, []) if known is not None else folder.look_over(dataset, part, location)


def _open_file(dataset: str, part: PartName, location: Path) -> Part:
    if dataset in cifar.LAYOUTS and location.name.endswith((".tar.gz", ".tgz")):
        return cifar.open_cifar(dataset, part, location, CATALOG[dataset].classes)
    with location.open("rb") as file:
        if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
            hint = "a data set is a folder, or an .npz archive of x_train, y_train, x_test and y_test"
            raise missing(f"{location} is no data set", hint)
    entry = CATALOG.get(dataset)
    return archive.open_archive(dataset, part, location, entry.classes if entry else None)


def _open_known(dataset: str, part: PartName, location: Path) -> Part | None:
    """The data sets that have a format of their own."""
    classes = CATALOG[dataset].classes if dataset in CATALOG else ()
    match dataset:
        case "mnist" | "fashion_mnist":
            return idx.open_idx(dataset, part, location, classes, TORCHVISION[dataset])
        case "cifar10" | "cifar100":
            return cifar.open_cifar(dataset, part, location, classes)
        case "svhn":
            return svhn.open_svhn(dataset, part, location, classes)
    return None


def is_here(dataset: str) -> bool:
    """True when the files of a known data set lie where `nin-spec data fetch` puts them; none is read."""
    return not CATALOG[dataset].downloads or holds(dataset, place_of(dataset))
