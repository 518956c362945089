"""From a name, or a place, to a part: which format is it?"""

from __future__ import annotations

from pathlib import Path

from nin_spec.data import archive, cifar, digits, folder, idx, svhn
from nin_spec.data.catalog import CATALOG, place_of
from nin_spec.data.faults import missing, unreadable
from nin_spec.data.part import Part, PartName
from nin_spec.diagnostics import did_you_mean

_TORCHVISION = {"mnist": ("MNIST/raw",), "fashion_mnist": ("FashionMNIST/raw",)}
"""Where torchvision puts them, below the folder it is given."""


def open_part(dataset: str, part: PartName, location: Path | None = None) -> Part:
    """The training or the test part of a data set.

    A known name (nin_spec.data.catalog) is looked for at `location`, or else where `nin-spec data fetch`
    puts it; `digits` comes along. An .npz at `location`, or pictures in train/CLASS/, are taken whatever
    the name; another name needs a location. Raises DataError: DATA_MISSING, DATA_DAMAGED, DATA_MISFIT.
    """
    if location is None:
        if dataset not in CATALOG:
            hint = f"{did_you_mean(dataset, list(CATALOG))}; your own are read with --data DIR"
            raise missing(f"no data set is known as {dataset!r}", hint)
        entry = CATALOG[dataset]
        if not entry.downloads:
            return digits.open_digits(part)
        location = place_of(dataset)
        if not location.exists():
            hint = f"nin-spec data fetch {dataset}, or --data DIR where it lies already"
            raise missing(f"{entry.title} is not here: there is no {location}", hint)
    try:
        return _open_at(dataset, part, location)
    except OSError as error:
        raise unreadable(location, error) from None


def _open_at(dataset: str, part: PartName, location: Path) -> Part:
    if not location.exists():
        raise missing(f"there is no {location}", f"the data set {dataset} is to be read from there")
    if location.is_file():
        return _open_file(dataset, part, location)
    if folder.is_split(location):
        return folder.open_folder(dataset, part, location)
    return _open_known(dataset, part, location) if dataset in CATALOG else _open_unknown(dataset, part, location)


def _open_file(dataset: str, part: PartName, location: Path) -> Part:
    if dataset in cifar.LAYOUTS and location.name.endswith((".tar.gz", ".tgz")):
        return cifar.open_cifar(dataset, part, location, CATALOG[dataset].classes)
    with location.open("rb") as file:
        if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
            hint = "a data set is a folder, or an .npz archive of x_train, y_train, x_test and y_test"
            raise missing(f"{location} is no data set", hint)
    entry = CATALOG.get(dataset)
    return archive.open_archive(dataset, part, location, entry.classes if entry else None)


def _open_known(dataset: str, part: PartName, location: Path) -> Part:
    classes = CATALOG[dataset].classes
    match dataset:
        case "mnist" | "fashion_mnist":
            return idx.open_idx(dataset, part, location, classes, _TORCHVISION[dataset])
        case "cifar10" | "cifar100":
            return cifar.open_cifar(dataset, part, location, classes)
        case "svhn":
            return svhn.open_svhn(dataset, part, location, classes)
    return _open_unknown(dataset, part, location)


def _open_unknown(dataset: str, part: PartName, location: Path) -> Part:
    """MNIST's kin by its file names; class folders else."""
    if idx.has_idx(location):
        return idx.open_idx(dataset, part, location)
    return folder.open_folder(dataset, part, location)


def is_here(dataset: str) -> bool:
    """True when the files of a known data set lie where `nin-spec data fetch` puts them; none is read."""
    place = place_of(dataset)
    match dataset:
        case "mnist" | "fashion_mnist":
            return idx.is_complete(place, _TORCHVISION[dataset])
        case "cifar10" | "cifar100":
            return cifar.is_complete(dataset, place)
        case "svhn":
            return svhn.is_complete(place)
    return True
