"""nin-spec data."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from nin_spec.cli import completing
from nin_spec.cli.console import canvas, draws
from nin_spec.cli.help import Group
from nin_spec.cli.options import data_option, force_option, tell
from nin_spec.cli.outputs import FOLDER
from nin_spec.cli.printer import Printer, printer_option, quiet_option

if TYPE_CHECKING:
    from nin_spec.data import Split, SplitName
    from nin_spec.data.catalog import Entry
    from nin_spec.diagnostics import Diagnostic


@click.group("data", cls=Group)
def data_command() -> None:
    """List, fetch, check and save data sets.

    \b
      nin-spec data list                      the data sets known by name, and which are here
      nin-spec data fetch cifar10             download it, check it, unpack it
      nin-spec data check cifar10             read every picture
      nin-spec data save cifar10 pictures     write the first pictures of its test split as PNG files
      nin-spec data check photos              your own: photos/train/CLASS/*.jpg

    Data sets are kept in $NIN_SPEC_DATA, by default nin-spec/data in your cache folder. Only `fetch` uses the network.
    """


# ------------------------------------------------------------------ list, show


@data_command.command("list")
@printer_option
def list_command(printer: Printer) -> None:
    """List the data sets known by name, and where they are.

    Your own pictures need no entry here: `--data PATH` takes a folder with a subfolder per class, DIR/train/CLASS/* and
    DIR/test/CLASS/*, or an .npz file of x_train, y_train, x_test and y_test.
    """
    from nin_spec.data.catalog import ENTRIES
    from nin_spec.printing import columns

    header = ("name", "pictures", "size", "classes", "to fetch", "here")
    rows = [
        (
            entry.name,
            " + ".join(f"{count:,}" for count in entry.counts),
            "x".join(map(str, entry.shape)),
            str(len(entry.classes)),
            _megabytes(entry.size),
            _here(entry),
        )
        for entry in ENTRIES
    ]
    printer.line("\n".join(columns([header, *rows], right={1, 3, 4})))
    printer.document([_as_dict(entry) for entry in ENTRIES])


def _as_dict(entry: Entry) -> dict[str, Any]:
    """A known data set as plain data; `folder` is null where it is included or not here."""
    from nin_spec.data.catalog import place_of
    from nin_spec.data.opening import is_here

    train, test = entry.counts
    return {
        "name": entry.name,
        "title": entry.title,
        "pictures": {"train": train, "test": test},
        "shape": list(entry.shape),
        "classes": list(entry.classes),
        "source": entry.source,
        "licence": entry.licence,
        "citation": entry.citation,
        "included": not entry.downloads,
        "folder": str(place_of(entry.name)) if entry.downloads and is_here(entry.name) else None,
        "files": [asdict(download) for download in entry.downloads],
    }


def _here(entry: Entry) -> str:
    """Where a known data set lies."""
    from nin_spec.data.catalog import place_of
    from nin_spec.data.opening import is_here

    if not entry.downloads:
        return "included in nin-spec"
    return str(place_of(entry.name)) if is_here(entry.name) else "not here"


@data_command.command("show")
@click.argument("name", metavar="NAME", shell_complete=completing.datasets)
@printer_option
def show_command(name: str, printer: Printer) -> None:
    """Show a data set: classes, licence, citation, and files with their SHA-256."""
    from nin_spec.data.catalog import entry_of

    entry = entry_of(name)
    facts = [
        ("title", entry.title),
        ("pictures", f"{entry.counts[0]:,} to train on, {entry.counts[1]:,} to test with"),
        ("size", "x".join(map(str, entry.shape))),
        ("classes", f"{len(entry.classes)}: {', '.join(entry.classes)}"),
        ("from", entry.source),
        ("licence", entry.licence),
        ("cite", entry.citation),
        ("here", _here(entry)),
    ]
    for key, value in facts:
        printer.line(f"{key:<10}{value}")
    for download in entry.downloads:
        printer.line(f"{'file':<10}{download.name}, {download.size:,} bytes, sha256 {download.sha256}")
        for url in download.urls:
            printer.line(f"{'':<10}{url}")
    printer.document(_as_dict(entry))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size else ""


# ------------------------------------------------------------------ fetch


@data_command.command("fetch")
@click.argument("name", metavar="NAME", shell_complete=completing.datasets)
@click.option(
    "--to", "target", metavar="DIR", type=FOLDER, help="Folder to write to.  [default: where NAME is looked for]"
)
@force_option
@printer_option
@quiet_option
def fetch_command(name: str, target: str | None, printer: Printer, *, force: bool) -> None:
    """Download a known data set, check its SHA-256, and unpack CIFAR.

    Run it again after a broken connection and it resumes; files that are complete are kept.

    \b
      nin-spec data fetch mnist
      nin-spec data fetch cifar10 --to data/cifar10     then: nin-spec train SPEC --data data/cifar10
    """
    from nin_spec.data.catalog import entry_of, place_of
    from nin_spec.data.fetching import fetch

    entry = entry_of(name)
    folder = Path(target) if target is not None else place_of(name)
    if not entry.downloads:
        printer.line(f"{name} is included in nin-spec: nothing to fetch")
        printer.document({"name": name, "folder": None, "done": []})
        return
    with Bars() as bars:
        done = fetch(entry, folder, bars.show, replace=force)
    printer.line("\n".join(done))
    tell([f"licence: {entry.licence}; cite: {entry.citation}"])
    facts = {"licence": entry.licence, "citation": entry.citation}
    printer.document({"name": name, "folder": str(folder), "done": done, **facts})


class Bars:
    """A progress bar for each file or split in turn, on a terminal."""

    def __init__(self, unit: str = "B") -> None:
        self.unit, self.name = unit, ""
        self.bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, name: str, size: int, have: int) -> None:
        """`have` of `size` bytes of a file, or pictures of a split, are done."""
        if name != self.name:
            self.close()
            self.name, self.bar = name, self._open(name, size, have)
        self.bar.update(have - self.bar.n)

    def _open(self, name: str, size: int, have: int) -> Any:
        from nin_spec.extras import need

        tqdm = need("tqdm", "showing progress").tqdm
        how = {"unit": self.unit, "unit_scale": True, "leave": False, "disable": not draws(), "file": canvas()}
        return tqdm(total=size, initial=have, desc=name, **how)

    def close(self) -> None:
        """Wipe the last bar."""
        if self.bar is not None:
            self.bar.close()
        self.name, self.bar = "", None


# ------------------------------------------------------------------ save


@data_command.command("save")
@click.argument("name", metavar="NAME", shell_complete=completing.datasets)
@click.argument("folder", metavar="DIR", type=FOLDER)
@data_option("location")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Split of NAME.")
@click.option("--count", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="Number of pictures.")
@force_option
@printer_option
def save_command(
    name: str, folder: str, location: str | None, split: SplitName, count: int, printer: Printer, *, force: bool
) -> None:
    """Save pictures of a data set as PNG files, for example for `nin-spec run`.

    \b
      nin-spec data save digits pictures
      nin-spec run nin_digits.onnx pictures/*.png --top 1
    """
    import numpy as np

    from nin_spec.data import open_split
    from nin_spec.data.saving import save_pictures
    from nin_spec.diagnostics import Code, ExportError

    found = open_split(name, split, Path(location) if location is not None else None)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(Code.EXPORT_PATH, f"{target} can't be created: {error.strerror}") from None
    made = save_pictures(found, np.arange(min(count, len(found))), target, replace=force)
    printer.line(f"wrote {len(made)} pictures to {target}, named by split, number and class")
    printer.document({"dataset": name, "split": split, "files": [str(path) for path in made]})


# ------------------------------------------------------------------ check


@data_command.command("check")
@click.argument("dataset", metavar="NAME|DIR", shell_complete=completing.datasets_or_folders)
@data_option("location")
@printer_option
@quiet_option
def check_command(dataset: str, location: str | None, printer: Printer) -> None:
    """Read every picture of a data set and count the classes.

    Lists every damaged file, every empty class and every file that is not a picture; if there is one, the exit code is
    2. DIR is a folder with a subfolder per class, a folder of MNIST's format, or an .npz file. The files of a known
    NAME are also compared with the published checksums.

    \b
      nin-spec data check photos
      nin-spec data check fashion_mnist --data /usr/share/datasets/fashion-mnist
    """
    from nin_spec.data import check_split
    from nin_spec.data.catalog import CATALOG
    from nin_spec.diagnostics import DataError, counted

    name, place = dataset, Path(location) if location is not None else None
    if place is None and dataset not in CATALOG and Path(dataset).exists():
        name, place = Path(dataset).resolve().name, Path(dataset)
    splits, found = _open_both(name, place)
    with Bars(" pictures") as bars:
        for split in splits:
            found += check_split(split, partial(bars.show, split.name, len(split)))
    counts = _counts(splits)
    _show_counts(splits, counts, printer)
    if not found:
        printer.line(f"{counted(sum(map(len, splits)), 'picture')} read, none damaged")
    remarks, damaged = _compare(splits, name, place)
    for remark in remarks:
        printer.line(remark)
    found += damaged
    printer.document(
        {
            "dataset": name,
            "splits": {split.name: {"where": split.where, "pictures": len(split)} for split in splits},
            "classes": [
                {"name": label, **{split.name: n[k] for split, n in zip(splits, counts, strict=True)}}
                for k, label in enumerate(splits[0].classes)
            ],
            "remarks": remarks,
            "errors": [diagnostic.as_dict() for diagnostic in found],
        }
    )
    if found:
        raise DataError(found)


def _open_both(name: str, place: Path | None) -> tuple[list[Split], list[Diagnostic]]:
    """The splits that can be opened, and what is wrong with the others; a test split may be missing."""
    from nin_spec.data.opening import inspect_split
    from nin_spec.diagnostics import Code, DataError

    splits: list[Split] = []
    faults: list[Diagnostic] = []
    names: tuple[SplitName, ...] = ("train", "test")
    for split in names:
        try:
            opened, wrong = inspect_split(name, split, place)
            splits.append(opened)
            faults += (d for d in wrong if d not in faults)
        except DataError as error:
            if split == "test" and splits and all(d.code is Code.DATA_MISSING for d in error.diagnostics):
                tell([f"no test split: {error.diagnostics[0].message}"])
            else:
                faults += (d for d in error.diagnostics if d not in faults)
    if not splits:
        raise DataError(faults)
    return splits, faults


def _compare(splits: list[Split], name: str, place: Path | None) -> tuple[list[str], list[Diagnostic]]:
    """What comparing the files of a known data set with the published ones says, and which files are damaged.

    A file is damaged if it has the published size and other bytes.
    """
    from nin_spec.data.catalog import place_of
    from nin_spec.data.faults import damage
    from nin_spec.data.published import doubts, is_published, published_files

    damaged: list[Diagnostic] = []
    remarks = [f"not as published: {doubt}" for split in splits for doubt in doubts(split, None)]
    for path, download in published_files(name, place or place_of(name)):
        if is_published(path, download):
            remarks.append(f"{path}: the published file")
        elif path.stat().st_size == download.size:
            damaged.append(damage(path, f"its SHA-256 is not that of the published file, {download.sha256}"))
        else:
            remarks.append(f"{path}: not the published file, which has {download.size:,} bytes")
    return remarks, damaged


def _counts(splits: list[Split]) -> list[list[int]]:
    """For each split the number of pictures of each class."""
    import numpy as np

    return [np.bincount(split.labels, minlength=len(split.classes)).tolist() for split in splits]


def _show_counts(splits: list[Split], counts: list[list[int]], printer: Printer) -> None:
    """Pictures by class and split."""
    from nin_spec.printing import columns

    for split in splits:
        printer.line(f"{split.name}: {split.where}")
    header = ("", "class", *(split.name for split in splits))
    rows = [(str(k), name, *(f"{count[k]:,}" for count in counts)) for k, name in enumerate(splits[0].classes)]
    total = ("", "all", *(f"{len(split):,}" for split in splits))
    printer.line("\n".join(columns([header, *rows, total], right={0, 2, 3})))
