"""nin-spec evaluate."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.console import canvas, draws
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
from nin_spec.cli.outputs import FILE, STDOUT, deliver, protect
from nin_spec.cli.printer import quiet_option
from nin_spec.extras import need
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.data import Split
    from nin_spec.evaluation import Agreement, Comparison, Evaluation, Subject
    from nin_spec.network import Network
    from nin_spec.runtime.providers import Device
    from nin_spec.training.folder import Run
    from nin_spec.training.sets import Role

    How = tuple[Device, int | None, Mapping[str, str]]
    """A device, its threads and its options."""

MATRIX_CLASSES = 20
"""Classes of which a confusion matrix is still read as text."""


@click.command("evaluate", cls=Command)
@click.argument("subject", metavar="SPEC|MODEL.onnx|RUNDIR", shell_complete=completing.subjects)
@data_option()
@click.option(
    "--dataset", metavar="NAME", shell_complete=completing.datasets, help="Use another data set than the recipe's."
)
@click.option(
    "--split",
    "part_name",
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
@click.option("--confusion", metavar="FILE.png", type=FILE, help="Also draw the confusion matrix.")
@quiet_option
@force_option
def evaluate_command(
    subject: str,
    data: str | None,
    dataset: str | None,
    part_name: Role,
    weights: str | None,
    overrides: tuple[str, ...],
    device: Device,
    options: dict[str, str],
    batch: int,
    threads: int | None,
    limit: int | None,
    form: str,
    confusion: str | None,
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

    The network is computed twice, as an nn.Module in torch and as an ONNX graph in onnxruntime, from pictures prepared
    as `nin-spec run` prepares them. If the two disagree on any picture, it is listed and the exit code is 1. An ONNX
    file is compared with the spec that it carries, with its own weights or those of --weights; a file of another tool
    is evaluated in onnxruntime only. A file of lower precision (nin-spec export --precision) is compared with the
    --weights that it was made from, and must stay within the accuracy budget that it was made with.

    A device that is named is used or refused: there is no fallback.
    """
    from nin_spec.evaluation import compare
    from nin_spec.opened import measured
    from nin_spec.training.folder import Run

    picture, inputs = None if confusion is None else Path(confusion), [subject, weights]
    if picture is not None:
        if picture.suffix.lower() != ".png" and confusion != STDOUT:
            raise click.BadParameter(
                f"{picture} is drawn as a PNG: pass {picture.with_suffix('.png')}", param_hint="--confusion"
            )
        protect({picture: Kind.PNG}, inputs, force=force)
        need("matplotlib", "--confusion")  # its absence must not show after minutes
    opened = measured(subject, {"--set": overrides}, overrides)
    found = open_subject(subject, opened, weights, (device, threads, options))
    run = opened if isinstance(opened, Run) else None
    part, total = open_pictures(found, run, Asked(part_name, data, dataset, limit))
    tell([*found.remarks, *found.session.remarks])
    if found.session.metadata.weights.startswith("fresh"):
        tell([f"untrained weights ({found.session.metadata.weights}): the accuracy means nothing yet"])
    with progress_bars(len(part)) as progress:
        comparison = compare(found, part, batch, progress)
    if form == "json":
        click.echo(
            json.dumps(as_dict(found, part, total, comparison) | {"split": part_name}, indent=2, ensure_ascii=False)
        )
    else:
        owners = whose(subject, weights) if isinstance(opened, Path) and weights is not None else ("", "")
        show(found, part, total, comparison, part_name, owners)
    if picture is not None:
        draw(picture, comparison.onnxruntime, inputs, force=force)
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
        part = open_run_split(own, asked.split, location)
    elif asked.split == "validation":
        raise click.UsageError("--split validation belongs to RUNDIR, whose recipe held it out")
    else:
        part = open_split(dataset, asked.split, location)
    if asked.split == "test" or own is None:
        warn(doubt for doubt in doubts(part, place_for(dataset, location)))
    return part if asked.limit is None else sample(part, asked.limit, seed=0), len(part)


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


def draw(path: Path, evaluation: Evaluation, inputs: list[str | None], *, force: bool) -> None:
    """Write the confusion matrix as a picture, and report the file."""
    from nin_spec.diagrams.charts import confusion_png
    from nin_spec.seals import sealed

    data = sealed(confusion_png(evaluation.confusion, evaluation.classes), Kind.PNG)
    deliver({path: data}, inputs, force=force)
    tell([f"wrote {path} ({len(data):,} bytes)"])


# ------------------------------------------------------------------ the answer


def as_dict(subject: Subject, part: Split, total: int, comparison: Comparison) -> dict[str, Any]:
    """The answer as plain data."""
    session, found = subject.session, comparison.as_dict()
    info = session.metadata
    found["onnxruntime"] |= {
        "device": session.device,
        "provider": session.provider,
        "precision": session.precision,
    }
    if found["torch"] is not None:
        found["torch"] |= {"device": subject.torch_device}
    about = {
        "model": {"name": info.name, "hash": info.hash, "weights": info.weights},
        "dataset": part.dataset,
        "split": part.part,
        "where": part.where,
        "split_images": total,
    }
    keys = ("accuracy", "top5", "loss", "images", "correct")
    return {key: found.pop(key) for key in keys} | about | found


def whose(subject: str, weights: str) -> tuple[str, str]:
    """Whose accuracy onnxruntime's is, and whose torch's, where a file is compared with other weights."""
    return f": {subject} in onnxruntime", f": its network with {weights} in torch"


def show(
    subject: Subject, part: Split, total: int, comparison: Comparison, name: str, owners: tuple[str, str] = ("", "")
) -> None:
    """The totals, how far torch and onnxruntime agree, one row per class, and the confusion matrix."""
    evaluation, session = comparison.onnxruntime, subject.session
    count = f"{total:,}" if evaluation.images == total else f"{evaluation.images:,} of {total:,}"
    click.echo(f"accuracy {evaluation.accuracy:.2%} of {count} ({part.dataset} {name}){owners[0]}")
    if owners[1] and comparison.torch is not None:
        click.echo(f"accuracy {comparison.torch.accuracy:.2%} of the same{owners[1]}")
    click.echo("  ".join(_further(evaluation)))
    click.echo(f"pictures from {part.where}")
    place = f"onnxruntime on {session.device} ({session.provider}, {session.precision})"
    if comparison.agreement is None:
        click.echo(f"{place}; no comparison with torch: {comparison.not_compared}")
    else:
        click.echo(f"torch on {subject.torch_device}, {place}")
        click.echo("\n".join(agreement_lines(comparison.agreement, comparison)))
    click.echo("\n" + "\n".join(class_lines(evaluation)))
    if len(evaluation.classes) <= MATRIX_CLASSES:
        click.echo("\n" + "\n".join(matrix_lines(evaluation)))


def _further(evaluation: Evaluation) -> list[str]:
    """The totals beside the accuracy, as far as they are known."""
    top5 = [] if evaluation.top5 is None else [f"top-5 {evaluation.top5:.2%}"]
    loss = "unknown: the file does not say what its scores are" if evaluation.loss is None else f"{evaluation.loss:.4f}"
    return [*top5, f"mean cross-entropy {loss}"]


def agreement_lines(agreement: Agreement, comparison: Comparison) -> list[str]:
    """How far torch and onnxruntime agree; where they do not, on which pictures."""
    close = f"the scores differ by {agreement.max_difference:.1e} at most"
    if comparison.precision:
        return reduced_lines(agreement, comparison, close)
    if agreement.complete:
        return [f"both predict the same class for all {agreement.images:,}; {close}"]
    apart = agreement.images - agreement.same
    ours = comparison.torch.accuracy if comparison.torch else float("nan")
    head = f"THEY DISAGREE on {apart:,} of {agreement.images:,}; torch alone has {ours:.2%}; {close}"
    names = comparison.onnxruntime.classes
    lines = [
        f"  picture {d.image} ({names[d.true]}): torch says {names[d.torch]}, "
        f"onnxruntime {names[d.onnxruntime]}, torch's scores being {d.margin:.1e} apart"
        for d in agreement.first
    ]
    more = [f"  and {apart - len(lines):,} more"] if apart > len(lines) else []
    return [head, *lines, *more]


def reduced_lines(agreement: Agreement, comparison: Comparison, close: str) -> list[str]:
    """How far a file of lower precision is from torch, and whether it stays within its budget."""
    lost, allowed = comparison.drop or 0.0, comparison.max_drop
    budget = "it was made without a budget" if allowed is None else f"its budget of {allowed:g} points"
    if allowed is not None:
        budget += " holds" if comparison.holds else " DOES NOT HOLD"
    ours = comparison.torch.accuracy if comparison.torch else float("nan")
    same = f"{agreement.same:,} of {agreement.images:,} ({agreement.same / agreement.images:.2%})"
    head = f"{comparison.precision}: both predict the same class for {same}; {close}"
    return [head, f"torch has {ours:.2%}: {lost:.2f} points lost, {budget}"]


def class_lines(evaluation: Evaluation) -> list[str]:
    """One row per class."""
    from nin_spec.printing import columns

    header = ("class", "images", "correct", "recall", "precision")
    rows = [
        (r.label, f"{r.images:,}", f"{r.correct:,}", _share(r.recall), _share(r.precision))
        for r in evaluation.per_class
    ]
    return columns([header, *rows], right={1, 2, 3, 4})


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def matrix_lines(evaluation: Evaluation) -> list[str]:
    """The confusion matrix, a row for each true class; classes are columns by number."""
    from nin_spec.printing import columns

    numbers = [str(k) for k in range(len(evaluation.classes))]
    rows: list[Sequence[str]] = [("true \\ predicted", *numbers)]
    for number, label, counts in zip(numbers, evaluation.classes, evaluation.confusion, strict=True):
        name = number if label == number else f"{number:>2} {label}"
        rows.append((name, *(str(n) if n else "." for n in counts)))
    return columns(rows, right=range(1, len(rows)))
