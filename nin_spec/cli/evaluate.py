"""nin-spec evaluate."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.console import canvas, draws
from nin_spec.cli.evaluation_lines import as_dict, show, whose_accuracy, wrong_as_dict, wrong_lines
from nin_spec.cli.help import Command
from nin_spec.cli.options import (
    EACH_ALIKE,
    data_option,
    device_options,
    force_option,
    format_option,
    limit_option,
    set_option,
    tell,
    threads_option,
    warn,
    weights_option,
)
from nin_spec.cli.outputs import PICTURE, deliver, protect
from nin_spec.cli.printer import quiet_option
from nin_spec.diagnostics import ExportError
from nin_spec.extras import need
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.data import Split
    from nin_spec.evaluation import Comparison, Subject
    from nin_spec.network import Network
    from nin_spec.runtime.providers import Device
    from nin_spec.training.folder import Run
    from nin_spec.training.sets import Role

    How = tuple[Device, int | None, Mapping[str, str]]
    """A device, its threads and its options."""


@click.command("evaluate", cls=Command)
@click.argument("subject", metavar="SPEC|MODEL.onnx|RUNDIR", shell_complete=completing.subjects)
@data_option()
@click.option(
    "--dataset", metavar="NAME", shell_complete=completing.datasets, help="Use another data set than the recipe's."
)
@click.option(
    "--split",
    "role",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Split to measure on. For RUNDIR, train is the split that the run learned from, and validation the one "
    "that chose its best epoch.",
)
@weights_option
@set_option
@device_options
@click.option(
    "--batch", type=click.IntRange(1, 65536), metavar="N", default=256, show_default=True, help="Pictures per batch."
)
@threads_option
@limit_option(EACH_ALIKE)
@format_option("table", "json")
@click.option("--confusion", metavar="FILE.png", type=PICTURE, help="Also draw the confusion matrix.")
@click.option(
    "--reliability",
    metavar="FILE.png",
    type=PICTURE,
    help="Also draw how far the probabilities can be trusted: the reliability diagram and the risk-coverage curve.",
)
@click.option(
    "--wrong",
    type=click.IntRange(0, 10_000),
    metavar="N",
    default=0,
    help="List N pictures with the wrong class, the surest first, and the classes most often confused.",
)
@click.option(
    "--sheet",
    metavar="FILE.png",
    type=PICTURE,
    help="Also draw the pictures of --wrong on one contact sheet, with the maps of both classes.",
)
@quiet_option
@force_option
def evaluate_command(
    subject: str,
    data: str | None,
    dataset: str | None,
    role: Role,
    weights: str | None,
    overrides: tuple[str, ...],
    device: Device,
    options: dict[str, str],
    batch: int,
    threads: int | None,
    limit: int | None,
    form: str,
    confusion: str | None,
    reliability: str | None,
    wrong: int,
    sheet: str | None,
    force: bool,
) -> int:
    """Measure the accuracy of a trained network.

    \b
      nin-spec evaluate runs/nin_cifar                       the result of a training run
      nin-spec evaluate nin_cifar.onnx                       on the data set that the file names
      nin-spec evaluate nin_cifar.onnx --data pictures/      your own, in test/CLASS/
      nin-spec evaluate nin_cifar --weights trained.safetensors --split train
      nin-spec evaluate nin_cifar.onnx --weights trained.safetensors   compared with these weights in torch
      nin-spec evaluate runs/nin_cifar --split validation
      nin-spec evaluate runs/nin_cifar --wrong 24 --sheet wrong.png       what it gets wrong, worst first

    The network is computed twice, as an nn.Module in torch and as an ONNX graph in onnxruntime, from pictures prepared
    as `nin-spec run` prepares them. If the two disagree on any picture, it is listed and the exit code is 1. An ONNX
    file is compared with the spec that it carries, with its own weights or those of --weights; a file of another tool
    is evaluated in onnxruntime only. A file of lower precision (nin-spec export --precision) is compared with the
    --weights that it was made from, and must stay within the accuracy budget that it was made with.

    A device that is named is used or refused: there is no fallback.
    """
    from nin_spec.evaluation import compare
    from nin_spec.opened import measured
    from nin_spec.training.evaluated import whose
    from nin_spec.training.folder import Run

    inputs = [subject, weights]
    if sheet is not None and not wrong:
        raise click.UsageError("--sheet draws the pictures of --wrong: pass --wrong N, too")
    pictures = pictures_asked({"--confusion": confusion, "--reliability": reliability, "--sheet": sheet})
    protect(dict.fromkeys(pictures, Kind.PNG), inputs, force=force)
    opened = measured(subject, {"--set": overrides}, overrides)
    found = open_subject(subject, opened, weights, (device, threads, options))
    run = opened if isinstance(opened, Run) else None
    split, total = open_pictures(found, run, Asked(role, data, dataset, limit))
    tell([*found.remarks, *found.session.remarks])
    if found.session.metadata.weights.startswith("fresh"):
        tell([f"untrained weights ({found.session.metadata.weights}): the accuracy means nothing yet"])
    with progress_bars(len(split)) as progress:
        comparison = compare(found, split, batch, progress, wrong)
    answer = as_dict(found, split, total, comparison, role)
    if run is not None and weights is None:
        answer["model"] |= whose(run)
        if data is None and dataset is None and limit is None:
            keep(run, role, answer)
    if wrong:
        answer |= wrong_as_dict(comparison)
    if form == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        owners = whose_accuracy(subject, weights) if isinstance(opened, Path) and weights is not None else ("", "")
        show(found, split, total, comparison, role, owners)
        if wrong:
            click.echo("\n" + "\n".join(wrong_lines(comparison)))
    drawn = {path: png for path, option in pictures.items() if (png := draw(option, comparison, found, split))}
    deliver(drawn, inputs, force=force)
    tell(f"wrote {path} ({len(data):,} bytes)" for path, data in drawn.items())
    return 0 if comparison.holds else 1


# ------------------------------------------------------------------ what, and on which pictures


@dataclass(frozen=True, slots=True)
class Asked:
    """The pictures: split, data set, its location, and how many. None means what the subject states."""

    split: Role
    data: str | None
    dataset: str | None
    limit: int | None


def open_subject(name: str, opened: Path | Network | Run, weights: str | None, how: How) -> Subject:
    """What was opened by that name, with its weights, on a device."""
    from nin_spec.evaluation import subject_of_file, subject_of_run, subject_of_spec
    from nin_spec.network import Network

    file = None if weights is None else Path(weights)
    match opened:
        case Path() as path:
            return subject_of_file(path, file, *how)
        case Network() as network if file is not None:
            return subject_of_spec(network, file, *how)
        case Network():
            message = f"{name} is a spec, and its weights are untrained: pass --weights FILE"
            raise click.UsageError(f"{message}, or `nin-spec train {name}` and evaluate the run folder")
        case run:
            return subject_of_run(run, file, *how)


def open_pictures(subject: Subject, run: Run | None, asked: Asked) -> tuple[Split, int]:
    """The requested pictures, and the total number in the split; `run` is what is evaluated, if it is one."""
    from nin_spec.data import open_split, sample
    from nin_spec.data.opening import place_for
    from nin_spec.data.published import doubts
    from nin_spec.training.sets import open_run_split

    location = subject.location if asked.data is None else Path(asked.data)
    dataset = asked.dataset or subject.dataset
    if asked.dataset not in {None, subject.dataset} and asked.data is None:
        location = None  # where another data set lies, the run does not know
    if not dataset:
        if location is None:
            raise click.UsageError("no data set is named: pass --dataset NAME, or --data PATH")
        dataset = location.resolve().stem
    own = run if dataset == subject.dataset else None
    if own is not None:
        split = open_run_split(own, asked.split, location)
    elif asked.split == "validation":
        raise click.UsageError("--split validation requires RUNDIR, whose recipe held it out")
    else:
        split = open_split(dataset, asked.split, location)
    if asked.split == "test" or own is None:
        warn(doubt for doubt in doubts(split, place_for(dataset, location)))
    return split if asked.limit is None else sample(split, asked.limit, seed=0), len(split)


@contextlib.contextmanager
def progress_bars(total: int) -> Iterator[Callable[[str], Callable[[int], Any]] | None]:
    """A bar for each runtime on standard error, where that is a terminal and tqdm is installed."""
    if not draws() or find_spec("tqdm") is None:
        yield None
        return
    tqdm = need("tqdm", "showing progress").tqdm
    with contextlib.ExitStack() as bars:
        yield (
            lambda name: (
                bars.enter_context(tqdm(total=total, desc=name, unit=" pictures", leave=False, file=canvas())).update
            )
        )


def pictures_asked(options: Mapping[str, str | None]) -> dict[Path, str]:
    """The options of the pictures to draw, by path. Raises UsageError for a path twice, InputError if none can."""
    asked = {option: path for option, path in options.items() if path is not None}
    for option in asked:
        need("matplotlib", option)  # its absence must not show after minutes
    if len({Path(path) for path in asked.values()}) < len(asked):
        raise click.UsageError(f"{' and '.join(asked)} need a path of their own each")
    return {Path(path): option for option, path in asked.items()}


def draw(option: str, comparison: Comparison, subject: Subject, split: Split) -> bytes | None:
    """The picture that an option asks for, sealed; None if it can't be drawn, which is said."""
    from nin_spec.diagrams.charts import confusion_png
    from nin_spec.diagrams.reliability import reliability_png
    from nin_spec.evaluation.confidence import Confidence
    from nin_spec.seals import sealed

    evaluation = comparison.onnxruntime
    match option, evaluation.confidence:
        case "--confusion", _:
            data = confusion_png(evaluation.confusion, evaluation.classes)
        case "--reliability", None:
            warn(["no reliability diagram is drawn: the file does not say what its scores are"])
            return None
        case "--reliability", Confidence() as confidence:
            data = reliability_png(confidence.as_dict())
        case _:
            data = _sheet(comparison, subject, split)
    return sealed(data, Kind.PNG)


def _sheet(comparison: Comparison, subject: Subject, split: Split) -> bytes:
    """The contact sheet of the wrong pictures; why it has no class maps is said."""
    from nin_spec.explanation.wrong_pictures import wrong_sheet

    data, why = wrong_sheet(comparison, subject, split)
    warn([why] if why else [])
    return data


def keep(run: Run, split: Role, answer: Mapping[str, Any]) -> None:
    """Store the answer in the run, for its report. A folder that can't be written to is a warning."""
    from nin_spec.training.evaluated import store

    try:
        tell([f"stored in {store(run, split, answer)}"])
    except ExportError as error:
        warn([f"the evaluation is not stored: {error.diagnostics[0].message}"])
