"""Pictures through a model that returns its class maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from nin_spec.explanation.result import TOP, Explanation, Explanations, Outputs, chosen, explanation_of, no_maps
from nin_spec.opened import model_of
from nin_spec.runtime.images import load_picture
from nin_spec.runtime.patience import RUNNING, within
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import Array, Session, open_session

OUTPUTS = ("scores", "maps")


def explain(
    model: str | Path | Session,
    pictures: str | Path | Iterable[str | Path],
    classes: str | Sequence[str] = TOP,
    device: Device = "auto",
) -> Explanations:
    """Why a network scores pictures as it does: its class maps, each with its mean, the score.

    `model` is an ONNX file with the output `maps`, a run folder, or a session of `open_model`. `classes` are labels or
    indices, `top` for the best class or `all`. In a notebook, an explanation shows itself; `explanation.png()` is its
    picture, `explanation.as_dict()` its data.

    Raises InputError for a model without class maps, a picture that can't be used or an unknown class; ExportError for
    a run whose network has none, at the line of its spec; ParityError where a map's mean is not its score.
    """
    session = model if isinstance(model, Session) else open_model(model, device)
    paths = [pictures] if isinstance(pictures, str | Path) else pictures
    wanted = [classes] if isinstance(classes, str) else list(classes)
    check_classes(session, wanted)
    return Explanations(explained(session, map(Path, paths), wanted))


def open_model(name: str | Path, device: Device = "auto", threads: int | None = None) -> Session:
    """A session of a model that returns its class maps. Raises what `explain` raises of the model."""
    session = open_session(model_of(name, device, OUTPUTS), device, threads)
    if not returns_maps(session):
        raise no_maps(str(name))
    return session


def returns_maps(session: Session) -> bool:
    """Whether the model returns its class maps beside its scores."""
    declared = {node.name for node in session.inference.get_outputs()}
    return session.metadata.maps is not None and declared.issuperset(OUTPUTS)


def check_classes(session: Session, wanted: Sequence[str]) -> None:
    """Raise InputError for a class that the model does not have."""
    count = len(session.metadata.labels) or session.output_shape[-1] or session.metadata.classes or 0
    chosen(wanted, session.metadata.labels, np.zeros(count))


def explained(session: Session, paths: Iterable[Path], wanted: Sequence[str]) -> Iterator[Explanation]:
    """The explanation of each picture, one after another. Raises InputError, ParityError."""
    for path in paths:
        pixels, x = load_picture(path, session)
        yield explanation_of(str(path), pixels, outputs_of(session, x), session.metadata, wanted)


def outputs_of(session: Session, x: Array) -> Outputs:
    """The scores and class maps of one input of the model, without the batch axis. Raises InputError."""
    batch = np.zeros((session.input_shape[0] or 1, *x.shape), x.dtype)
    batch[0] = x
    scores, maps = within(RUNNING, "the model", "running it", lambda: session.outputs(batch, OUTPUTS))
    return Outputs(scores[0], maps[0], session.precision)
