"""The part of `nin-spec export` that makes a file smaller: its options, and its progress reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from nin_spec.cli.console import canvas, draws
from nin_spec.cli.options import EACH_ALIKE, data_option, limit_option
from nin_spec.cli.printer import Printer
from nin_spec.extras import need
from nin_spec.precision.fitness import remark_on
from nin_spec.precision.settings import CALIBRATE, MAX_DROP, PRECISIONS, Precision, PrecisionSettings, parse_drop

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
        help="Precision of the ONNX file; the accuracy that it costs is measured.",
    ),
    click.option(
        "--max-drop",
        metavar="POINTS|none",
        help=f"Accuracy that may be lost, in percentage points: 0.5% or 0.5. With `none`, nothing is measured.  "
        f"[default: {MAX_DROP}%]",
    ),
    data_option(),
    click.option(
        "--calibrate",
        metavar="N",
        type=click.IntRange(1),
        help=f"Training pictures that the ranges of int8 values are measured on.  [default: {CALIBRATE}]",
    ),
    limit_option(EACH_ALIKE),
)


def precision_options(function: Function) -> Function:
    """--precision, and what belongs to it."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Reduction:
    """The options, None if omitted; `max_drop` as it was written."""

    precision: Precision
    max_drop: str | None
    data: str | None
    calibrate: int | None
    limit: int | None


def settings_of(
    asked: Reduction, devices: Sequence[str], options: Mapping[str, str], *, exports_onnx: bool
) -> PrecisionSettings:
    """How it is done. Raises UsageError for options that would do nothing, ExportError for what can't be."""
    given = {key: value for key, value in asdict(asked).items() if key != "precision" and value is not None}
    if asked.precision == "float32":
        for key in given:
            raise click.UsageError(f"--{key.replace('_', '-')} needs --precision: a float32 file loses no accuracy")
        return PrecisionSettings("float32")
    if not exports_onnx:
        raise click.UsageError("--precision requires --onnx")
    max_drop = MAX_DROP if asked.max_drop is None else parse_drop(asked.max_drop)
    _refuse_idle(asked, measures=max_drop is not None)
    for device in devices:
        remark_on(asked.precision, device)  # refused before the work; remarks are printed after
    return PrecisionSettings(
        asked.precision,
        max_drop,
        None if asked.data is None else Path(asked.data),
        CALIBRATE if asked.calibrate is None else asked.calibrate,
        asked.limit,
        options,
    )


def _refuse_idle(asked: Reduction, *, measures: bool) -> None:
    """Raise UsageError for an option that would do nothing."""
    calibrates = asked.precision == "int8"
    ranged = calibrates or (measures and asked.precision == "float16")
    unmeasured = "--max-drop none measures nothing"
    if asked.data is not None and not (calibrates or measures):
        raise click.UsageError(f"--data would do nothing: {unmeasured}")
    if asked.calibrate is not None and not ranged:
        raise click.UsageError(f"--calibrate would do nothing: {asked.precision} needs no ranges")
    if asked.limit is not None and not measures:
        raise click.UsageError(f"--limit would do nothing: {unmeasured}")


def make_smaller(
    model: Model,
    artifact: Artifact,
    settings: PrecisionSettings,
    devices: Sequence[Any],
    printer: Printer,
    *,
    parity: bool,
) -> tuple[Artifact, dict[str, Any]]:
    """The artifact in another precision, and the facts: measured on the first of the devices, proved on each."""
    from nin_spec import api
    from nin_spec.precision.fitness import DEFAULT_DEVICE
    from nin_spec.precision.job import Watch
    from nin_spec.precision.reduction import facts_of, reduce

    places = devices or (DEFAULT_DEVICE[settings.precision],)
    for device in places[1:]:
        if remark := remark_on(settings.precision, device):
            printer.step(remark)
    with _Bars(printer) as bars:
        made = reduce(model, artifact, settings, places[0], Watch(bars.say, bars.progress))
    reports = [
        report
        for device in (places if parity else ())
        for report in api.prove(model, made.artifact, device, made.pictures, options=settings.options)
    ]
    for report in reports:
        printer.line(str(report))
    (file,) = made.artifact.models
    facts = facts_of(made.artifact.files[file])
    return made.artifact, {"reduction": facts, "parity": [report.as_dict() for report in reports]}


class _Bars:
    """Lines as they come, and one bar at a time on standard error, where that is a terminal."""

    def __init__(self, printer: Printer) -> None:
        self.printer, self.shows = printer, draws() and find_spec("tqdm") is not None
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
        self.printer.step(line)

    def progress(self, name: str, total: int) -> Callable[[int], Any] | None:
        """A new bar in place of the last one."""
        self.close()
        if not self.shows:
            return None
        tqdm = need("tqdm", "showing progress").tqdm
        self.bar = tqdm(total=total, desc=name, unit=" pictures", leave=False, file=canvas())
        update: Callable[[int], Any] = self.bar.update
        return update
