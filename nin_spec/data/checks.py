"""Checks of a whole split: its fingerprint, its files' headers, and every damaged picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from nin_spec.data.split import Headed, Split, evidence_of
from nin_spec.diagnostics import DataError, Diagnostic
from nin_spec.pictures import Frame

_SAMPLE = 256
_BATCH = 256


def fingerprint(split: Split) -> str:
    """64 hex digits that identify this split: a hash of all labels and of 256 pictures spread over it.

    For folders, the pictures' names and sizes are hashed instead of their pixels. Cheap, so it does not prove that
    every pixel is equal.
    """
    count = len(split)
    sample = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).astype(np.int64))
    digest = hashlib.sha256(f"nin-spec part {count} {len(split.classes)}\n".encode())
    digest.update(split.labels.astype("<i8").tobytes())
    digest.update(evidence_of(split, sample))
    return digest.hexdigest()


def check_headers(split: Split) -> list[Diagnostic]:
    """One diagnostic for each file without the header of a picture: cheap, before training. None for arrays."""
    return split.headers(np.arange(len(split))) if isinstance(split, Headed) else []


def check_split(split: Split, progress: Callable[[int], object] | None = None) -> list[Diagnostic]:
    """Read every picture; one diagnostic for each damaged one.

    `progress` is called with the number of pictures read so far.
    """
    frame, found = Frame(3, 8, 8), list[Diagnostic]()
    for start in range(0, len(split), _BATCH):
        batch = np.arange(start, min(start + _BATCH, len(split)))
        try:
            split.pictures(batch, frame)
        except DataError as error:
            found.extend(error.diagnostics)
        if progress is not None:
            progress(start + len(batch))
    return found
