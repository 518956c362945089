"""The contact sheet of the pictures that a network gets wrong, with the maps of the predicted and the true class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nin_spec.data import Split
from nin_spec.diagnostics import ExportError
from nin_spec.diagrams.contact_sheet import Tile, contact_sheet_png
from nin_spec.evaluation import Comparison, Subject
from nin_spec.evaluation.mistakes import Mistake
from nin_spec.explanation.drawing import enlarged, overlay
from nin_spec.explanation.explaining import OUTPUTS, outputs_of, returns_maps
from nin_spec.explanation.result import Explanation, explanation_of
from nin_spec.exporter import make
from nin_spec.pictures import Pixels, frame_of, normalise, raw
from nin_spec.provider_gaps import written_for
from nin_spec.runtime.session import Session, open_session

_SIDE = 96
"""Pixels of the longer side of a picture, at least."""


def wrong_sheet(comparison: Comparison, subject: Subject, split: Split) -> tuple[bytes, str]:
    """The mistakes of a comparison as a PNG, and why there are no class maps on it; empty if there are.

    Pictures are drawn as the network sees them but for the normalisation, each with the maps of the predicted and of
    the true class in one scale. Raises InputError without matplotlib, ParityError where a map's mean is not its score.
    """
    found = comparison.mistakes
    indices = np.array([mistake.index for mistake in found], np.int64)
    pictures = split.pictures(indices, frame_of(subject.shape, subject.contract))
    session, why = _with_maps(subject)
    columns = [
        (enlarged(pixels, _times(pixels)),) if session is None else _panels(_explained(session, subject, pixels, m))
        for m, pixels in zip(found, pictures, strict=True)
    ]
    tiles = [Tile(shown, _caption(m)) for m, shown in zip(found, columns, strict=True)]
    evaluation = comparison.onnxruntime
    title = f"{len(found):,} of {evaluation.images - evaluation.correct:,} wrong pictures, the surest first"
    maps = "" if session is None else "; maps of the predicted and of the true class"
    return contact_sheet_png(tiles, title + maps), why


def _caption(mistake: Mistake) -> tuple[str, str]:
    likely = "" if mistake.probability is None else f" {mistake.probability:.0%}"
    return f"{mistake.true} as {mistake.said}", Path(mistake.file).name + likely


def _with_maps(subject: Subject) -> tuple[Session | None, str]:
    """A session that returns class maps, or why there is none."""
    session = subject.session
    if returns_maps(session):
        return session, ""
    if subject.model is None:
        return None, "no class maps are drawn: the file does not return them (export it with --outputs scores,maps)"
    try:
        (data,) = make(subject.model, "onnx", {**written_for(session.device), "outputs": OUTPUTS}).files.values()
    except ExportError as error:
        return None, f"no class maps are drawn: {error.diagnostics[0].message.removeprefix('no class maps: ')}"
    return open_session(data, session.device, session.threads), ""


def _explained(session: Session, subject: Subject, pixels: Pixels, mistake: Mistake) -> Explanation:
    """The explanation of a picture, for the predicted and the true class."""
    contract, batch = subject.contract, pixels[None]
    if session.takes_pixels:
        (x,) = raw(batch, contract, session.dtype)
    else:
        (x,) = normalise(batch, contract, session.dtype, subject.shape[0])
    info = session.metadata
    wanted = [info.labels[k] if info.labels else str(k) for k in reversed(mistake.indices)]
    return explanation_of(mistake.file, pixels, outputs_of(session, x), info, wanted)


def _panels(found: Explanation) -> Sequence[Pixels]:
    """The picture, and the maps on it, in one scale."""
    largest = max(float(np.abs(one.cells).max(initial=0.0)) for one in found.classes) or 1.0
    times = _times(found.pixels)
    maps = (overlay(found.pixels, one.cells / largest, found.place, times) for one in found.classes)
    return (enlarged(found.pixels, times), *maps)


def _times(pixels: Pixels) -> int:
    height, width = pixels.shape[:2]
    return max(1, round(_SIDE / max(int(height), int(width))))
