"""Looking at a whole part: its fingerprint, its files' headers, and every damaged picture in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from nin_spec.data.part import Headed, Part, evidence_of
from nin_spec.diagnostics import DataError, Diagnostic
from nin_spec.pictures import Frame

_SAMPLE = 256
_BATCH = 256


def fingerprint(part: Part) -> str:
    """64 hex digits that tell this part from others: all labels, and 256 pictures spread over it.

    Of folders the pictures' names and sizes count instead of their pixels. Cheap, and so no proof that
    every pixel is the same.
    """
    count = len(part)
    sample = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).astype(np.int64))
    digest = hashlib.sha256(f"nin-spec part {count} {len(part.classes)}\n".encode())
    digest.update(part.labels.astype("<i8").tobytes())
    digest.update(evidence_of(part, sample))
    return digest.hexdigest()


def check_headers(part: Part) -> list[Diagnostic]:
    """One finding for each file that does not begin as a picture does: cheap, before a training. None of arrays."""
    return part.headers(np.arange(len(part))) if isinstance(part, Headed) else []


def check_part(part: Part, progress: Callable[[int], object] | None = None) -> list[Diagnostic]:
    """Read every picture; one finding for each that is damaged.

    `progress` is told how many pictures have been read so far.
    """
    frame, found = Frame(3, 8, 8), list[Diagnostic]()
    for start in range(0, len(part), _BATCH):
        batch = np.arange(start, min(start + _BATCH, len(part)))
        try:
            part.pictures(batch, frame)
        except DataError as error:
            found.extend(error.diagnostics)
        if progress is not None:
            progress(start + len(batch))
    return found
