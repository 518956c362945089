"""nin-spec explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.cli import completing
from nin_spec.cli.gathering import pictures_in
from nin_spec.cli.help import Command
from nin_spec.cli.options import device_named, force_option, tell, threads_option
from nin_spec.cli.outputs import PICTURE, deliver, protect
from nin_spec.cli.printer import Printer, printer_option, quiet_option
from nin_spec.diagnostics import InputError, counted
from nin_spec.seals import Kind, sealed

if TYPE_CHECKING:
    from nin_spec.explanation import Explanation
    from nin_spec.runtime.session import Session


@click.command("explain", cls=Command)
@click.argument("model", metavar="MODEL.onnx|RUNDIR", shell_complete=completing.models)
@click.argument("files", metavar="PICTURE|DIR...", nargs=-1, required=True, shell_complete=completing.files)
@click.option(
    "--class",
    "classes",
    metavar="NAME|top|all",
    multiple=True,
    default=("top",),
    help="Classes to explain, by label or index; may be repeated.  [default: top, the best one]",
)
@click.option("-o", "--output", metavar="FILE.png", type=PICTURE, help="Draw the maps on the pictures, into this file.")
@device_named
@threads_option
@force_option
@printer_option
@quiet_option
def explain_command(
    model: str,
    files: tuple[str, ...],
    classes: tuple[str, ...],
    output: str | None,
    device: str,
    threads: int | None,
    force: bool,
    printer: Printer,
) -> None:
    """Show what a network looks at: class maps, whose mean is the score.

    \b
      nin-spec explain runs/nin_digits pictures/test-000-5.png -o maps.png
      nin-spec explain net.onnx photo.jpg --class cat --class dog -o maps.png
      nin-spec explain net.onnx photo.jpg --class all --format json

    A class map says for each cell what the score would be if the average were over that cell alone. For each picture,
    the mean of every map is compared with its score; if one differs, the exit code is 1. In the drawing a cell stands
    where it looks: red cells raise the score, blue ones lower it.

    MODEL.onnx needs its maps as an output: export it with --outputs scores,maps. A run is exported with them. A network
    whose scores are not averages, because of a maximum or an activation after the average, is refused. Pictures that
    can't be used are reported at the end, and the exit code is 2.
    """
    from nin_spec.explanation import open_model
    from nin_spec.explanation.explaining import check_classes

    inputs = [model, *files]
    if output is not None:
        protect({Path(output): Kind.PNG}, inputs, force=force)
    paths, passed_over = pictures_in(files)
    session = open_model(model, device, threads)
    check_classes(session, classes)
    found, errors = _explained(session, paths, classes)
    for explanation in found:
        _show(explanation, printer)
    if session.metadata.weights.startswith("fresh"):
        tell([f"untrained weights ({session.metadata.weights}): the maps mean nothing yet"])
    tell(passed_over)
    if output is not None and found:
        _draw(Path(output), found, inputs, printer, force=force)
    printer.document(as_dict(session, found))
    if errors:
        tell([f"{counted(len(errors), 'picture')} of {len(paths):,} can't be used"])
        raise InputError([d for error in errors for d in error.diagnostics])


def _explained(
    session: Session, paths: list[Path], classes: tuple[str, ...]
) -> tuple[list[Explanation], list[InputError]]:
    """The explanation of every picture that can be used, and what is wrong with each other one."""
    from nin_spec.explanation.explaining import explained

    found: list[Explanation] = []
    errors: list[InputError] = []
    for path in paths:
        try:
            found += explained(session, [path], classes)
        except InputError as error:
            errors.append(error)
    return found, errors


def _show(explanation: Explanation, printer: Printer) -> None:
    """A table of the classes, and the identity."""
    from nin_spec.explanation.result import HEADERS, RIGHT
    from nin_spec.printing import columns

    printer.line(explanation.name)
    printer.line("\n".join(f"  {line}" for line in columns([HEADERS, *explanation.rows()], right=RIGHT)))
    printer.line(f"  {explanation.identity}")


def _draw(path: Path, found: list[Explanation], inputs: list[str], printer: Printer, *, force: bool) -> None:
    from nin_spec.explanation.result import draw

    data = sealed(draw(found), Kind.PNG)
    deliver({path: data}, inputs, force=force)
    printer.step(f"wrote {path} ({len(data):,} bytes)")


def as_dict(session: Session, found: list[Explanation]) -> dict[str, object]:
    """The result as plain data."""
    info = session.metadata
    return {
        "model": info.name,
        "hash": info.hash,
        "weights": info.weights,
        "device": session.device,
        "provider": session.provider,
        "precision": session.precision,
        "pictures": [explanation.as_dict() for explanation in found],
    }
