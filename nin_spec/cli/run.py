"""nin-spec run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.gathering import pictures_in
from nin_spec.cli.help import Command
from nin_spec.cli.options import device_options, force_option, format_option, tell, threads_option
from nin_spec.cli.outputs import FILE, deliver, protect
from nin_spec.diagnostics import InputError, counted

if TYPE_CHECKING:
    from nin_spec.runtime.classify import Prediction
    from nin_spec.runtime.session import Session

_AT_A_TIME = 256
"""Files that are read before they are run: several batches."""


@click.command("run", cls=Command)
@click.argument("model", metavar="MODEL.onnx|RUNDIR", shell_complete=completing.models)
@click.argument("files", metavar="FILE|DIR...", nargs=-1, required=True, shell_complete=completing.files)
@device_options
@threads_option
@click.option(
    "--top", type=click.IntRange(1, 65536), default=5, show_default=True, metavar="N", help="Classes to show."
)
@format_option("table", "json")
@click.option(
    "-o",
    "--output",
    metavar="FILE.npy",
    type=FILE,
    help="Also save the scores, (inputs, classes).",
)
@force_option
def run_command(
    model: str,
    files: tuple[str, ...],
    device: str,
    options: dict[str, str],
    threads: int | None,
    top: int,
    form: str,
    output: str | None,
    force: bool,
) -> None:
    """Classify pictures or arrays with an exported model or a run.

    \b
      nin-spec run nin_cifar.onnx photo.jpg
      nin-spec run runs/nin_digits pictures/ --top 1
      nin-spec run nin_cifar.onnx batch.npy -o scores.npy

    FILE is a picture (PNG, JPEG, WebP, BMP, GIF), which is preprocessed as the model states, or a .npy array that is
    already preprocessed: one input (C, H, W) or a batch (N, C, H, W). From DIR every picture and array is read. The
    model runs in onnxruntime. Files that can't be used are reported at the end, and the exit code is 2.

    A device that is named is used or refused: there is no fallback.
    """
    from nin_spec.opened import model_of
    from nin_spec.runtime.classify import stack
    from nin_spec.runtime.session import open_session

    if output is not None:
        protect({Path(output): None}, [model, *files], force=force)
    paths, passed_over = pictures_in(files)
    session = open_session(model_of(model, device), device, threads, options=options)
    predictions, errors = classified(session, paths, top)
    if not predictions:
        raise InputError([d for error in errors for d in error.diagnostics])
    if output is not None and not errors:  # or its rows would not be those of the files
        deliver({Path(output): _npy(stack(predictions))}, [model, *files], force=force)
    if form == "json":
        click.echo(json.dumps(as_dict(session, predictions), indent=2, ensure_ascii=False))
    else:
        show(session, predictions)
    tell(passed_over)
    if errors:
        bad = f"{counted(len(errors), 'file')} of {len(paths):,} can't be used"
        tell([f"{bad}, and {output} is not written" if output is not None else bad])
        raise InputError([d for error in errors for d in error.diagnostics])


def classified(session: Session, paths: list[Path], top: int) -> tuple[list[Prediction], list[InputError]]:
    """The predictions of every file that can be used, in order, and what is wrong with each other one.

    Files are read and run some at a time, so that a folder of any size fits into memory.
    """
    from nin_spec.runtime.classify import classify
    from nin_spec.runtime.images import load_inputs

    found: list[Prediction] = []
    errors: list[InputError] = []
    for start in range(0, len(paths), _AT_A_TIME):
        inputs = []
        for path in paths[start : start + _AT_A_TIME]:
            try:
                inputs += load_inputs([path], session)
            except InputError as error:
                errors.append(error)
        found += classify(session, inputs, top)
    return found, errors


def _npy(scores: Any) -> bytes:
    """The array as a .npy file, which has no place for a seal: another one is not replaced unasked."""
    import io

    import numpy as np

    data = io.BytesIO()
    np.save(data, scores, allow_pickle=False)
    return data.getvalue()


def as_dict(session: Session, predictions: list[Prediction]) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "model": session.metadata.name,
        "hash": session.metadata.hash,
        "weights": session.metadata.weights,
        "device": session.device,
        "provider": session.provider,
        "precision": session.precision,
        "nodes": {provider: len(nodes) for provider, nodes in session.placement.items()},
        "remarks": list(session.remarks),
        "predictions": [
            {
                "file": p.name,
                "top": [
                    {"class": r.index, "label": r.label, "score": r.score, "probability": r.probability} for r in p.rows
                ],
            }
            for p in predictions
        ],
    }


def show(session: Session, predictions: list[Prediction]) -> None:
    """A small table for each input; which device ran it, on standard error."""
    from nin_spec.printing import columns

    for prediction in predictions:
        rows = [
            (str(r.rank), r.label, f"{r.score:.5g}", "" if r.probability is None else f"{r.probability:.4f}")
            for r in prediction.rows
        ]
        known = any(row[3] for row in rows)
        header = ("", "class", "score", "probability" if known else "")
        click.echo(prediction.name)
        click.echo("\n".join(f"  {line}" for line in columns([header, *rows], right={0, 2, 3})))
    if session.metadata.weights.startswith("fresh"):
        click.echo(f"untrained weights ({session.metadata.weights}): the classes mean nothing yet", err=True)
    nodes = ", ".join(f"{len(names)} nodes on {provider}" for provider, names in session.placement.items())
    click.echo(f"device: {session.choice}; {nodes}, in {session.precision}", err=True)
    tell(session.remarks)
