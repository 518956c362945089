"""nin-spec runs."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import force_option, tell, warn
from nin_spec.cli.outputs import PICTURE, deliver, protect
from nin_spec.cli.printer import Printer, printer_option, quiet_option
from nin_spec.extras import need
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.training.runs import RunRow

_KEYS = ("path", "name", "hash", "status", "train", "validation", "test", "parameters", "macs", "epoch", "seconds")


@click.command("runs", cls=Command)
@click.argument("folder", metavar="[DIR]", default=".", shell_complete=completing.files)
@click.option(
    "--sort",
    "key",
    type=click.Choice(_KEYS),
    default="path",
    show_default=True,
    help="Column to sort by: an accuracy from the best, anything else from the least.",
)
@click.option("--reverse", is_flag=True, help="Sort the other way round.")
@click.option("--name", metavar="PATTERN", help="Only networks whose name fits, for example 'nin_*'.")
@click.option("--finished", is_flag=True, help="Only runs that are finished.")
@click.option("--curves", metavar="FILE.png", type=PICTURE, help="Also draw the curves of these runs over one another.")
@printer_option
@quiet_option
@force_option
def runs_command(
    folder: str,
    printer: Printer,
    key: str,
    reverse: bool,
    name: str | None,
    finished: bool,
    curves: str | None,
    force: bool,
) -> None:
    """List the runs below a folder, to compare them.

    \b
      nin-spec runs                                    every run below this folder
      nin-spec runs runs --sort validation             the best on the validation split first
      nin-spec runs runs --name 'nin_digits*' --finished --curves curves.png

    Accuracies are those of the weights that are the result of a run: as nin-spec evaluate stored them, else as the
    training wrote them down. A run that can't be read is a warning.
    """
    from nin_spec.training.runs import rows_below, sort_rows

    picture = None if curves is None else Path(curves)
    if picture is not None:
        protect({picture: Kind.PNG}, [folder], force=force)
        need("matplotlib", "--curves")
    if not Path(folder).is_dir():
        raise click.UsageError(f"{folder} is not a folder")
    rows, errors = rows_below(Path(folder))
    warn(error.diagnostics[0].message for error in errors)
    fitting = [
        row for row in rows if (name is None or fnmatch(row.name, name)) and (not finished or row.status == "finished")
    ]
    chosen = sort_rows(fitting, key, reverse=reverse)
    if picture is not None and not chosen:
        raise click.BadParameter(f"nothing to draw: {_none_at(folder)}", param_hint="--curves")
    _show(chosen, folder, printer)
    if picture is not None:
        _draw(picture, chosen, folder, force=force)
    printer.document([row.as_dict() for row in chosen])


def _none_at(folder: str) -> str:
    return f"no such run at or below {Path(folder)}"


def _show(rows: list[RunRow], folder: str, printer: Printer) -> None:
    """One row per run."""
    from nin_spec.printing import columns, share

    if not rows:
        printer.line(_none_at(folder))
        return
    header = ("run", "network", "hash", "train", "validation", "test", "parameters", "MACs", "epoch", "seconds", "")
    cells = [
        (
            str(row.path),
            row.name,
            row.hash.partition(":")[2][:8],
            *(share(value) for value in (row.train, row.validation, row.test)),
            f"{row.parameters:,}",
            f"{row.macs:,}",
            f"{row.epoch if row.epoch is not None else '-'} of {row.epochs}",
            f"{row.seconds:,.0f}",
            "" if row.status == "finished" else row.status,
        )
        for row in rows
    ]
    printer.line("\n".join(columns([header, *cells], right=range(3, 10))))


def _draw(picture: Path, rows: list[RunRow], folder: str, *, force: bool) -> None:
    """The curves of the runs, and what was written."""
    from nin_spec.diagrams.overlay import MOST, overlay_png
    from nin_spec.seals import sealed

    if len(rows) > MOST:
        warn([f"only the first {MOST} of {len(rows)} runs are drawn: --name and --sort choose others"])
    data = sealed(overlay_png({str(row.path): row.curves for row in rows[:MOST]}), Kind.PNG)
    deliver({picture: data}, [folder], force=force)
    tell([f"wrote {picture} ({len(data):,} bytes)"])
