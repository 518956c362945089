"""nin-spec calibrate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nin_spec.cli import completing
from nin_spec.cli.evaluate import progress_bars
from nin_spec.cli.help import Command
from nin_spec.cli.options import data_option, device_options, tell, threads_option, warn
from nin_spec.cli.printer import Printer, printer_option, quiet_option

if TYPE_CHECKING:
    from nin_spec.evaluation import Calibrated
    from nin_spec.runtime.providers import Device
    from nin_spec.training.sets import Role


@click.command("calibrate", cls=Command)
@click.argument("run", metavar="RUNDIR", shell_complete=completing.subjects)
@data_option()
@click.option(
    "--split",
    type=click.Choice(["validation", "test", "train"]),
    default="validation",
    show_default=True,
    help="Split to fit on. Only validation is right: the others are refused, with the reason.",
)
@device_options
@click.option(
    "--batch", type=click.IntRange(1, 65536), metavar="N", default=256, show_default=True, help="Pictures per batch."
)
@threads_option
@printer_option
@quiet_option
def calibrate_command(
    run: str,
    printer: Printer,
    data: str | None,
    split: Role,
    device: Device,
    options: dict[str, str],
    batch: int,
    threads: int | None,
) -> None:
    """Fit one temperature, so that a run's probabilities can be trusted.

    \b
      nin-spec train nin_digits -o runs/digits --set train.validation=0.1
      nin-spec calibrate runs/digits
      nin-spec evaluate runs/digits          its calibration error on the test split
      nin-spec export runs/digits --onnx     the file has the temperature in its weights

    A network that is right in 99% of its answers may say that it is sure of 80%, or the other way round. Dividing its
    scores by one number, the temperature, makes its probabilities fit its accuracy. It never changes which class is
    predicted.

    The temperature is fitted on the run's validation split, by the negative log-likelihood (Guo et al. 2017), and
    written to RUNDIR/temperature.json. From then on evaluate, export, run and serve use it for this run. It belongs to
    the weights that it was fitted for: after more training it is not used until it is fitted again. To undo it, remove
    the file.
    """
    from nin_spec.evaluation import calibrate
    from nin_spec.training.folder import open_run

    if split != "validation":
        raise click.UsageError(_WHY[split])
    opened = open_run(run)
    with progress_bars(opened.record.data.scored_images) as progress:
        found = calibrate(opened, device, data=data, threads=threads, options=options, batch=batch, progress=progress)
    _show(found, printer)
    if found.same < found.before.images:
        changed = found.before.images - found.same
        warn([f"{changed:,} pictures have another predicted class: two of their scores are equal but for rounding"])
    tell([f"next: nin-spec evaluate {run}", f"      nin-spec export {run} --onnx"])
    printer.document(found.as_dict())


_WHY = {
    "test": "a temperature is not fitted on the test split: its confidence on these pictures would look better than it "
    "is on others. Fit it on the validation split, and measure it by nin-spec evaluate",
    "train": "a temperature is not fitted on the train split: a network is surer of pictures that it has learned than "
    "of others. Fit it on the validation split",
}


def _show(found: Calibrated, printer: Printer) -> None:
    """The temperature, and what it changes."""
    from nin_spec.printing import columns

    fitted = found.fitted
    printer.line(f"temperature {fitted.temperature:g}, fitted on {fitted.images:,} validation pictures\n")
    header = ("", "before", "after")
    printer.line("\n".join(columns([header, *found.rows()], right={1, 2})))
    printer.line(f"\n{found.unchanged}")
    printer.line(f"wrote {found.path}")
