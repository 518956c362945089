"""nin-spec sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import data_option, force_option, limit_option, set_option, tell
from nin_spec.cli.outputs import FOLDER, PICTURE, OutputFile, deliver, protect
from nin_spec.cli.printer import Printer, is_quiet, printer_option, quiet_option
from nin_spec.cli.progress import clock
from nin_spec.cli.sweep_table import plan_lines, table_lines, trial_line
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.sweeps.begin import Begun
    from nin_spec.sweeps.load import Sweep
    from nin_spec.sweeps.results import SweepResult
    from nin_spec.sweeps.rows import SweepTrial

SPEC_FILE = OutputFile()


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of the command, named as click passes them."""

    subject: str
    overrides: tuple[str, ...]
    output: str | None
    data: str | None
    limit: int | None
    workers: int
    trials: int | None
    threads: int | None
    device: str
    join: str | None
    plan: bool
    table: bool
    best: str | None
    by: str | None
    plot: str | None
    confirm: int | None
    force: bool

    @property
    def shows(self) -> bool:
        """Whether results are asked for, instead of trainings."""
        return self.table or self.best is not None or self.plot is not None or self.confirm is not None

    @property
    def folder(self) -> Path:
        """The sweep folder."""
        from nin_spec.sweeps.begin import default_folder
        from nin_spec.sweeps.folder import is_sweep

        if is_sweep(self.subject):
            return Path(self.subject)
        return default_folder(Path(self.subject)) if self.output is None else Path(self.output)


@click.command("sweep", cls=Command)
@click.argument("subject", metavar="FILE|DIR", shell_complete=completing.sweeps)
@set_option
@data_option()
@click.option(
    "-o", "--output", metavar="DIR", type=FOLDER, help="Sweep folder to create or resume.  [default: sweeps/NAME]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that train a candidate each at the same time.",
)
@click.option(
    "--trials", type=click.IntRange(1), metavar="N", help="Candidates to train in all.  [default: that of FILE]"
)
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="CPU threads of each worker.  [default: its share of the cores]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to train on.",
)
@limit_option("Use only N pictures of each split, to try things out.")
@click.option("--join", metavar="URL", help="Work on a sweep that was started elsewhere, in this PostgreSQL or MySQL.")
@click.option("--plan", is_flag=True, help="Train nothing: show how many candidates fit, and what the sweep will cost.")
@click.option("--table", is_flag=True, help="Of DIR: print the trained candidates, the best first; * is on the front.")
@click.option("--best", metavar="FILE.yaml", type=SPEC_FILE, help="Of DIR: write the best as a spec; - prints it.")
@click.option("--by", metavar="NAME", help="Objective that decides what is best.  [default: the first of FILE]")
@click.option("--plot", metavar="FILE.png", type=PICTURE, help="Of DIR: draw the candidates and their front.")
@click.option(
    "--confirm", type=click.IntRange(1, 100), metavar="N", help="Of DIR: train the best again with N other seeds."
)
@printer_option
@quiet_option
@force_option
def sweep_command(printer: Printer, **given: Any) -> int:
    """Train a family of networks within a budget, and find the best.

    \b
      nin-spec sweep pets.sweep.yaml --plan              what fits, and what it costs
      nin-spec sweep pets.sweep.yaml -o sweeps/pets      again: resume
      nin-spec sweep sweeps/pets --table
      nin-spec sweep sweeps/pets --best best.yaml        a spec that extends the base
      nin-spec sweep sweeps/pets --confirm 3             the best again, with other seeds

    A sweep file names a base spec, the values to choose from by path, what is better, and limits. A candidate over a
    limit, and one that is the same network with the same recipe as another, is never trained: the shape table and the
    semantic hash decide. The others are trained into run folders, and judged on their validation split; the test split
    is never used.

    Optuna chooses the candidates and stores what came of them. Ctrl-C finishes the step and keeps a checkpoint; after
    that, or a kill -9, the same command resumes each interrupted candidate in its run folder.
    """
    asked = _Asked(**given)
    from nin_spec.sweeps.folder import is_sweep

    if asked.shows:
        return _show(asked, printer)
    if is_sweep(asked.subject):
        _refuse_changes(asked)
        return _resume(asked, printer)
    from nin_spec.sweeps.load import load

    loaded = load(asked.subject, asked.overrides)
    _remark(loaded)
    if asked.plan:
        return _plan(asked, loaded, printer)
    from nin_spec.sweeps.begin import begin
    from nin_spec.sweeps.folder import Settings

    return _train(
        asked, begin(loaded, asked.folder, Settings(asked.data, asked.limit, asked.device, asked.join)), printer
    )


def _refuse_changes(asked: _Asked) -> None:
    """A sweep folder keeps what it was started with."""
    given = {"--set": asked.overrides, "-o": asked.output, "--join": asked.join, "--limit": asked.limit}
    flags = [flag for flag, value in given.items() if value]
    if flags or asked.plan:
        flag = "--plan" if asked.plan else flags[0]
        raise click.UsageError(
            f"{flag} needs FILE: {asked.subject} is a sweep folder, which keeps what it was started with"
        )


def _remark(loaded: Sweep) -> None:
    """What is legal and probably unintended."""
    from nin_spec.cli.console import coloured, paint

    for remark in loaded.remarks:
        paint(coloured(remark), err=True)


# ------------------------------------------------------------------ training


def _resume(asked: _Asked, printer: Printer) -> int:
    from nin_spec.sweeps.begin import resume

    return _train(asked, resume(asked.folder), printer)


def _train(asked: _Asked, begun: Begun, printer: Printer) -> int:
    from nin_spec.sweeps.begin import run

    wanted = asked.trials or begun.sweep.file.trials
    tell([f"sweep folder: {begun.folder}; {wanted} candidates, {asked.workers} at a time"])
    with _stoppable() as stop:
        result = run(
            begun,
            workers=asked.workers,
            trials=asked.trials,
            threads=asked.threads,
            report=_reporter(wanted, {trial.number for trial in begun.result.trials}),
            log=_say,
            stop=stop,
        )
    printer.document(result.as_dict())
    if stop.asked:
        click.echo(f"interrupted; to resume: nin-spec sweep {begun.folder}", err=True)
        return int(stop.code)
    for line in [*table_lines(result, asked.by, most=10), result.counted]:
        printer.line(line)
    tell([f"next: nin-spec sweep {begun.folder} --best best.yaml", f"      nin-spec sweep {begun.folder} --confirm 3"])
    return 0


def _stoppable() -> AbstractContextManager[Any]:
    from nin_spec.cli.training.stopping import stoppable

    return stoppable()


def _reporter(wanted: int, known: set[int]) -> Callable[[SweepResult, float | None], None]:
    """A line for each newly trained candidate, with the best so far and the time left; called in threads."""
    quiet = is_quiet()

    def report(result: SweepResult, left: float | None) -> None:
        done = [t for t in result.trials if t.outcome in {"trained", "pruned", "diverged"}]
        new = [trial for trial in done if trial.number not in known]
        known.update(trial.number for trial in done)
        rest = "" if left is None else f"; {clock(left)} left"
        for trial in () if quiet else new:
            click.echo(f"{len(done)}/{wanted} {trial_line(result, trial)}{rest}", err=True)

    return report


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


# ------------------------------------------------------------------ plan and results


def _plan(asked: _Asked, loaded: Sweep, printer: Printer) -> int:
    from nin_spec.runtime.providers import available_threads
    from nin_spec.sweeps.plan import plan

    threads = asked.threads or max(1, available_threads() // asked.workers)
    found = plan(
        loaded, trials=asked.trials, workers=asked.workers, data=asked.data, limit=asked.limit, threads=threads
    )
    for line in plan_lines(found):
        printer.line(line)
    printer.document(found.as_dict())
    return 0


def _show(asked: _Asked, printer: Printer) -> int:
    from nin_spec.sweeps.folder import is_sweep
    from nin_spec.sweeps.results import results

    outputs: dict[Path, Any] = {}
    if asked.best is not None:
        outputs[Path(asked.best)] = Kind.SPEC
    if asked.plot is not None:
        outputs[Path(asked.plot)] = Kind.PNG
    protect(outputs, [], force=asked.force)
    if not is_sweep(asked.subject):
        raise click.UsageError(f"{asked.subject} is not a sweep folder, which results are read from")
    result = results(asked.subject)
    best = result.best(asked.by)
    document: dict[str, Any] = (
        result.as_dict() if asked.table else {"folder": str(result.folder), "best": best.as_dict()}
    )
    if asked.confirm is not None:
        document["confirmed"] = _confirm(asked, result, best, printer)
    if asked.table:
        for line in [*table_lines(result, asked.by), result.counted]:
            printer.line(line)
    printer.document(document)
    _write(asked, result, best)
    return 130 if asked.confirm is not None and document["confirmed"] is None else 0


def _confirm(asked: _Asked, result: SweepResult, best: SweepTrial, printer: Printer) -> dict[str, Any] | None:
    from nin_spec.sweeps.confirm import confirm

    def report(seed: int, accuracy: float) -> None:
        tell([f"trial {best.number}, seed +{seed}: validation accuracy {accuracy:.2%}"])

    with _stoppable() as stop:
        found = confirm(result, best, asked.confirm or 1, threads=asked.threads, stop=stop, report=report)
    if found is None:
        click.echo("interrupted; the same command resumes", err=True)
        return None
    searched = f"{best.metrics['validation_accuracy']:.2%} in the search"
    printer.line(f"trial {best.number}: validation accuracy {found.mean:.2%} +- {found.spread:.2%}, {searched}")
    return found.as_dict()


def _write(asked: _Asked, result: SweepResult, best: SweepTrial) -> None:
    """The files asked for, and what was written."""
    from nin_spec.seals import sealed
    from nin_spec.sweeps.best import spec_of

    files: dict[Path, bytes] = {}
    if asked.best is not None:
        target = None if asked.best == "-" else Path(asked.best)
        files[Path(asked.best)] = sealed(spec_of(result, best, target).encode(), Kind.SPEC)
    if asked.plot is not None:
        from nin_spec.cli.sweep_table import front_of
        from nin_spec.diagrams.front import front_png

        files[Path(asked.plot)] = sealed(front_png(*front_of(result)), Kind.PNG)
    if files:
        deliver(files, [], force=asked.force)
    tell(f"wrote {path} ({len(data):,} bytes)" for path, data in files.items() if str(path) != "-")
