"""The part of `nin-spec export` that makes a file smaller: its options, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from nin_spec.cli.console import canvas, draws
from nin_spec.extras import need
from nin_spec.precision.fitness import remark_on
from nin_spec.precision.settings import CALIBRATE, MAX_DROP, PRECISIONS, PrecisionSettings, parse_drop

if TYPE_CHECKING:
    from nin_spec.exporter import Artifact
    from nin_spec.model import Model

Function = Callable[..., Any]

_OPTIONS = (
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="float32",
        show_default=True,
        help="Numbers that an ONNX file computes in; what it costs in accuracy is measured.",
    ),
    click.option(
        "--max-drop",
        metavar="POINTS|none",
        help=f"Accuracy that may be lost, in percentage points: 0.5% or 0.5. `none` measures nothing. "
        f"[default: {MAX_DROP}%]",
    ),
    click.option("--data", metavar="PATH", help="Where the data set lies.  [default: where it was fetched to]"),
    click.option(
        "--calibrate",
        metavar="N",
        type=click.IntRange(1),
        help=f"Training pictures that show int8 the range of each value.  [default: {CALIBRATE}]",
    ),
    click.option(
        "--limit", metavar="N", type=click.IntRange(1), help="Measure on N pictures only, of each class alike."
    ),
)


def precision_options(function: Function) -> Function:
    """--precision, and what belongs to it."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def settings_of(given: dict[str, Any], targets: dict[str, str]) -> PrecisionSettings:
    """What was asked for. Raises UsageError for options that would do nothing, ExportError for what can't be."""
    asked = {key: given[key] for key in ("max_drop", "data", "calibrate", "limit") if given[key] is not None}
    if given["precision"] == "float32":
        for key in asked:
            raise click.UsageError(f"--{key.replace('_', '-')} belongs to --precision: a float32 file loses nothing")
        return PrecisionSettings("float32")
    if "onnx" not in targets:
        raise click.UsageError("--precision belongs to --onnx")
    if "max_drop" in asked:
        asked["max_drop"] = parse_drop(asked["max_drop"])
    _refuse_idle(given["precision"], asked)
    if "data" in asked:
        asked["data"] = Path(asked["data"])
    for device in given["devices"]:
        remark_on(given["precision"], device)  # refused before the work; what is worth knowing is told after
    return PrecisionSettings(given["precision"], **asked, options=given["options"])


def _refuse_idle(precision: str, asked: dict[str, Any]) -> None:
    """Raise UsageError for an option that would do nothing."""
    measures, calibrates = asked.get("max_drop", MAX_DROP) is not None, precision == "int8"
    idle = {
        "limit": "" if measures else "--max-drop none measures nothing",
        "calibrate": "" if calibrates or (measures and precision == "float16") else f"{precision} takes no ranges",
        "data": "" if calibrates or measures else "--max-drop none measures nothing",
    }
    for key in (key for key in asked if idle.get(key)):
        raise click.UsageError(f"--{key} would do nothing: {idle[key]}")


def make_smaller(
    model: Model, artifact: Artifact, settings: PrecisionSettings, devices: Sequence[Any], *, parity: bool
) -> Artifact:
    """The artifact in another precision, measured on the first of the devices and proved on each, all of it told."""
    from nin_spec import api
    from nin_spec.precision.fitness import DEFAULT_DEVICE
    from nin_spec.precision.job import Watch
    from nin_spec.precision.reduction import reduce

    places = devices or (DEFAULT_DEVICE[settings.precision],)
    for device in places[1:]:
        if remark := remark_on(settings.precision, device):
            click.echo(remark)
    with _Bars() as bars:
        made = reduce(model, artifact, settings, places[0], Watch(bars.say, bars.progress))
    for device in places if parity else ():
        for report in api.prove(model, made.artifact, device, made.pictures, options=settings.options):
            click.echo(str(report))
    return made.artifact


class _Bars:
    """Lines on standard output, and one bar at a time on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self.shows = draws() and find_spec("tqdm") is not None
        self.bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def say(self, line: str) -> None:
        """A line, below which no bar stays."""
        self.close()
        click.echo(line)

    def progress(self, name: str, total: int) -> Callable[[int], Any] | None:
        """A new bar in place of the last one."""
        self.close()
        if not self.shows:
            return None
        tqdm = need("tqdm", "showing progress").tqdm
        self.bar = tqdm(total=total, desc=name, unit=" pictures", leave=False, file=canvas())
        update: Callable[[int], Any] = self.bar.update
        return update
