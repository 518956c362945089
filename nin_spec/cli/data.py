"""nin-spec data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from nin_spec.cli import completing
from nin_spec.cli.console import canvas, draws
from nin_spec.cli.help import Group
from nin_spec.cli.options import data_option, force_option
from nin_spec.cli.outputs import FOLDER

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
def list_command() -> None:
    """List the data sets known by name, and where they are.

    Your own need no entry here: `--data PATH` takes a folder with a subfolder per class, DIR/train/CLASS/* and
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
    click.echo("\n".join(columns([header, *rows], right={1, 3, 4})))


def _here(entry: Entry) -> str:
    """Where a known data set lies."""
    from nin_spec.data.catalog import place_of
    from nin_spec.data.opening import is_here

    if not entry.downloads:
        return "included in nin-spec"
    return str(place_of(entry.name)) if is_here(entry.name) else "not here"


@data_command.command("show")
@click.argument("name", metavar="NAME", shell_complete=completing.datasets)
def show_command(name: str) -> None:
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
        click.echo(f"{key:<10}{value}")
    for download in entry.downloads:
        click.echo(f"{'file':<10}{download.name}, {download.size:,} bytes, sha256 {download.sha256}")
        for url in download.urls:
            click.echo(f"{'':<10}{url}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size else ""


# ------------------------------------------------------------------ fetch


@data_command.command("fetch")
@click.argument("name", metavar="NAME", shell_complete=completing.datasets)
@click.option(
    "--to", "target", metavar="DIR", type=FOLDER, help="Folder to write to.  [default: where NAME is looked for]"
)
@force_option
def fetch_command(name: str, target: str | None, force: bool) -> None:
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
        click.echo(f"{name} is included in nin-spec: nothing to fetch")
        return
    with Bars() as bars:
        done = fetch(entry, folder, bars.show, replace=force)
    click.echo("\n".join(done))
    click.echo(f"licence: {entry.licence}; cite: {entry.citation}", err=True)


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
@click.option(
    "--split", "part", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Split of NAME."
)
@click.option("--count", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="Number of pictures.")
@force_option
def save_command(name: str, folder: str, location: str | None, part: SplitName, count: int, force: bool) -> None:
    """Save pictures of a data set as PNG files, for example for `nin-spec run`.

    \b
      nin-spec data save digits pictures
      nin-spec run nin_digits.onnx pictures/*.png --top 1
    """
    import numpy as np

    from nin_spec.data import open_split
    from nin_spec.data.saving import save_pictures
    from nin_spec.diagnostics import Code, ExportError

    found = open_split(name, part, Path(location) if location is not None else None)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(Code.EXPORT_PATH, f"{target} can't be created: {error.strerror}") from None
    made = save_pictures(found, np.arange(min(count, len(found))), target, replace=force)
    click.echo(f"wrote {len(made)} pictures to {target}, named by split, number and class")


# ------------------------------------------------------------------ check


@data_command.command("check")
@click.argument("dataset", metavar="NAME|DIR", shell_complete=completing.datasets_or_folders)
@data_option("location")
def check_command(dataset: str, location: str | None) -> None:
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
    parts, found = _open_both(name, place)
    with Bars(" pictures") as bars:
        for part in parts:
            found += check_split(part, partial(bars.show, part.part, len(part)))
    _show_counts(parts)
    if not found:
        click.echo(f"{counted(sum(map(len, parts)), 'picture')} read, none damaged")
    found += _compare(parts, name, place)
    if found:
        raise DataError(found)


def _open_both(name: str, place: Path | None) -> tuple[list[Split], list[Diagnostic]]:
    """The splits that can be opened, and what is wrong with the others; a test split may be missing."""
    from nin_spec.data.opening import inspect_split
    from nin_spec.diagnostics import Code, DataError

    parts: list[Split] = []
    faults: list[Diagnostic] = []
    names: tuple[SplitName, ...] = ("train", "test")
    for part in names:
        try:
            opened, wrong = inspect_split(name, part, place)
            parts.append(opened)
            faults += (d for d in wrong if d not in faults)
        except DataError as error:
            if part == "test" and parts and all(d.code is Code.DATA_MISSING for d in error.diagnostics):
                click.echo(f"no test split: {error.diagnostics[0].message}", err=True)
            else:
                faults += (d for d in error.diagnostics if d not in faults)
    if not parts:
        raise DataError(faults)
    return parts, faults


def _compare(parts: list[Split], name: str, place: Path | None) -> list[Diagnostic]:
    """Hold a known data set's files against the published ones. One of their size and other bytes is damaged."""
    from nin_spec.data.catalog import place_of
    from nin_spec.data.faults import damage
    from nin_spec.data.published import doubts, is_published, published_files

    found: list[Diagnostic] = []
    for doubt in (d for part in parts for d in doubts(part, None)):
        click.echo(f"not as published: {doubt}")
    for path, download in published_files(name, place or place_of(name)):
        if is_published(path, download):
            click.echo(f"{path}: the published file")
        elif path.stat().st_size == download.size:
            found.append(damage(path, f"its SHA-256 is not that of the published file, {download.sha256}"))
        else:
            click.echo(f"{path}: not the published file, which has {download.size:,} bytes")
    return found


def _show_counts(parts: list[Split]) -> None:
    """Pictures by class and split."""
    import numpy as np

    from nin_spec.printing import columns

    for part in parts:
        click.echo(f"{part.part}: {part.where}")
    counts = [np.bincount(part.labels, minlength=len(part.classes)) for part in parts]
    header = ("", "class", *(part.part for part in parts))
    rows = [(str(k), name, *(f"{count[k]:,}" for count in counts)) for k, name in enumerate(parts[0].classes)]
    total = ("", "all", *(f"{len(part):,}" for part in parts))
    click.echo("\n".join(columns([header, *rows, total], right={0, 2, 3})))
