"""The inputs of a parity proof: seeded noise or pictures, in batches of several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.ir.graph import Graph
from nin_spec.model import Model
from nin_spec.pictures import normalise, raw
from nin_spec.runtime.proof_memory import Shape
from nin_spec.runtime.session import Session
from nin_spec.runtime.sizes import sizes_to_try

BATCHES = (1, 2, 7)

Batch = tuple[NDArray[Any], NDArray[np.floating[Any]]]
"""The file's input, and the same as the spec's network takes it."""


def cut(pictures: Batch, shapes: Sequence[Shape]) -> Iterator[Batch]:
    """The pictures in batches of these sizes."""
    ends = np.cumsum([batch for batch, _ in shapes])
    for end, (batch, _) in zip(ends, shapes, strict=True):
        yield pictures[0][end - batch : end], pictures[1][end - batch : end]


def inputs(model: Model, session: Session, seed: int, shapes: Sequence[Shape]) -> Iterator[Batch]:
    """Batches of these shapes: standard normal, or random pixels.

    For pixels, the network gets their preprocessing in float64.
    """
    random = np.random.default_rng(seed)
    channels = model.graph.input.shape[0]
    contract = model.card.preprocessing
    for batch, size in shapes:
        if session.takes_pixels:
            own = 1 if contract.color == "gray" else channels
            pixels = random.integers(0, 256, (batch, *size, own), np.uint8)
            yield raw(pixels, contract, session.dtype), normalise(pixels, contract, np.float64, channels)
        else:
            x = random.standard_normal((batch, channels, *size)).astype(session.dtype)
            yield x, x.astype(np.float64)


def shapes_of(graph: Graph, fixed: int | None, pictures: int | None, asked: Sequence[int] = BATCHES) -> list[Shape]:
    """The batches and sizes of a proof: those asked for, or the file's fixed ones; at most the number of pictures.

    They have the spec's size; for an open size, noise is also tried at others.
    """
    _, height, width = graph.input.maps()
    if pictures is not None:
        cuts = asked if fixed is None else (fixed,) * (pictures // fixed)
        ends = np.cumsum(cuts)
        return [(batch, (height, width)) for batch, end in zip(cuts, ends, strict=True) if end <= pictures]
    batches = list(asked if fixed is None else (fixed,) * 2)
    sizes = sizes_to_try(graph) if graph.open_size else [(height, width)]
    count = max(len(batches), len(sizes))
    # The nominal size is first, for one picture; the largest batch has a small size if possible.
    batches += batches[1:2] * (count - len(batches))
    return list(zip(batches, [*sizes, *(sizes[-1:] * (count - len(sizes)))], strict=True))
