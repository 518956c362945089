"""How a training run is reported: a bar on a terminal, a line per epoch, and the result."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli.console import canvas, draws
from nin_spec.cli.options import tell
from nin_spec.cli.printer import Printer, is_quiet
from nin_spec.diagnostics import counted

if TYPE_CHECKING:
    from nin_spec.training.folder import Run
    from nin_spec.training.reporter import Pace, Row

_LINE_SECONDS = 30.0
"""Between lines about a long epoch, where no progress bar can be drawn."""


class ProgressReporter:
    """Reports progress: a bar on a terminal, and a line per epoch."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.heard = True
        self.steps = self.batch = self.first = 0
        self.begun = self.said = time.monotonic()

    def started(self, facts: Mapping[str, object], step: int, steps: int, batch: int) -> None:
        """What is trained, on what, how."""
        shares = int(str(facts["processes"])) * int(str(facts["micro_batches"]))
        processes = counted(int(str(facts["processes"])), "process", "processes")
        divided = (
            f" = {processes} x {counted(int(str(facts['micro_batches'])), 'micro-batch', 'micro-batches')}"
            if shares > 1
            else ""
        )
        pictures = f"{facts['train_images']:,} {facts['dataset']} pictures"
        what = f"{facts['network']}: {facts['parameters']:,} parameters, on {pictures}"
        scored = f"scored on {facts['scored_images']:,} ({facts['scored_on']})"
        work = f"{counted(int(str(facts['epochs'])), 'epoch')}, {counted(steps, 'step')} of {batch}{divided}"
        place = f"{facts['device']}, {counted(int(str(facts['threads'])), 'thread')}, {facts['precision']}"
        after = f", resumed after step {step:,}" if step else ""
        tell([f"{what}, {scored}", f"{work}; {place}", *start_lines(facts["start"])])
        tell([f"run folder: {facts['folder']}{after}"])
        self.steps, self.batch, self.first = steps, batch, step
        self.begun = self.said = time.monotonic()
        if draws():
            from nin_spec.extras import need

            self.bar = need("tqdm", "training").tqdm(total=steps, initial=step, unit="step", leave=False, file=canvas())

    def stepped(self, step: int, loss: float) -> None:
        """The bar moves; without one, a line from time to time."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.3f}, {self._rate(step):,.0f} images/s", refresh=False)
            self.bar.update(1)
        elif time.monotonic() - self.said > _LINE_SECONDS:
            self.said = time.monotonic()
            self._say(
                f"  step {step:,}/{self.steps:,}: loss {loss:.4f}, {self._rate(step):,.0f} images/s, {self._left(step)}"
            )

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """A line with the result of the epoch."""
        split = next(k.removesuffix("_accuracy") for k in row if k.endswith("_accuracy") and not k.startswith("train"))
        self.said = time.monotonic()
        learned = f"loss {row['train_loss']:.4f}, {split} loss {row[f'{split}_loss']:.4f}"
        speed = f"{pace.images_per_second:,.0f} images/s, data {pace.data_share:.1%} of a step"
        self._say(
            f"epoch {row['epoch']:>3}: {learned}, {split} accuracy {row[f'{split}_accuracy']:.2%}; "
            f"lr {row['lr']:.2g}, {speed}, {self._left(int(row['step']))}"
        )
        if self.bar is not None and row["step"] == self.steps:
            self.bar.close()

    def logged(self, message: str) -> None:
        """A warning."""
        self._say(f"warning: {message}", err=True)

    def _say(self, text: str, *, err: bool = False) -> None:
        if self.bar is not None:
            self.bar.clear()
        if not err and (is_quiet() or not self.heard):
            return
        try:
            click.echo(text, err=err)
        except OSError as error:
            # `| head` has gone, or the disk of the log is full: hours of training are worth more than a line.
            self.heard = False
            sys.stdout = None
            with contextlib.suppress(OSError):
                click.echo(f"warning: standard output is closed ({error.strerror}); training continues", err=True)

    def _rate(self, step: int) -> float:
        return (step - self.first) * self.batch / max(time.monotonic() - self.begun, 1e-9)

    def _left(self, step: int) -> str:
        done = max(step - self.first, 1)
        seconds = round((time.monotonic() - self.begun) / done * (self.steps - step))
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} left"


def start_lines(start: object) -> list[str]:
    """What was carried from a file of weights, if the training starts from one."""
    from nin_spec.training.carrying import lines_of
    from nin_spec.training.folder import StartRecord

    return lines_of(start) if isinstance(start, StartRecord) else []


def conclude(run: Run, stopped: int, printer: Printer) -> int:
    """Print the result and what to do next, and return the exit code; `stopped` is the one of an interrupted run."""
    record = run.record
    printer.document(_summary(run))
    if record.status == "interrupted":
        click.echo(f"interrupted; to resume: nin-spec train {run.path} --resume", err=True)
        return stopped
    if record.ended is not None:
        printer.line(f"ended after epoch {record.final['epoch']}: {record.ended}")
    validation = record.data.scored_on == "validation"
    score = _accuracy(run)
    if score is not None:
        of = f"{record.data.scored_images:,} {record.data.dataset} pictures ({record.data.scored_on})"
        best = f"epoch {run.result['epoch']}, the best of {record.final['epoch']}"
        printer.line(f"accuracy {score:.2%} of {of}, after {best if validation else 'the last epoch'}")
    printer.line(f"wrote {run.path}: {record.result}, the weights of {record.chosen}; metrics.csv, curves.png")
    if validation:
        tell(["the test split was not used: evaluate measures on it"])
    tell([f"next: nin-spec evaluate {run.path}", f"      nin-spec export {run.path} --onnx"])
    return 0


def _accuracy(run: Run) -> float | None:
    """The accuracy of the result on the split that the run was scored on; None while no epoch is done."""
    return run.result.get(f"{run.record.data.scored_on}_accuracy")


def _summary(run: Run) -> dict[str, Any]:
    """What came of a run, as plain data."""
    record = run.record
    return {
        "run": str(run.path),
        "status": record.status,
        "network": {"name": record.name, "hash": record.hash},
        "dataset": record.data.dataset,
        "split": record.data.scored_on,
        "images": {"train": record.data.train_images, record.data.scored_on: record.data.scored_images},
        "accuracy": _accuracy(run),
        "epoch": run.result.get("epoch"),
        "epochs": record.final.get("epoch", 0),
        "ended": record.ended,
        "weights": str(run.path / record.result),
        "files": sorted(str(path) for path in run.path.iterdir() if path.is_file()),
    }
