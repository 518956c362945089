"""The state of a walk along a Caffe net, and each layer's weights: the file's, or random ones for the proof."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nin_spec.importers.budget import Cost
from nin_spec.importers.caffe.file import Layer, array_of
from nin_spec.importers.chain import Array, Chain, refusal
from nin_spec.ir import ops

MAX_PARAMETERS = 1 << 28
MAX_DRAWN = 1 << 26
"""Parameters that are drawn for the proof of a net without weights."""
BATCH = 1
"""Pictures of the proof: Caffe's definitions are computed in float64, which takes its time."""
Blobs = dict[str, Array]


@dataclass
class CaffeWalk:
    """The state of a walk. `given` are the file's blobs by layer, None where it only declares them.

    `used` are the blobs that each layer computes with, by its number on the path: what the proof takes too.
    """

    chain: Chain
    given: Mapping[str, tuple[Any, ...]] | None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    used: list[Blobs] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    parameters: int = 0
    cost: Cost = field(default_factory=lambda: Cost(BATCH))

    def add(self, op: ops.Op, layer: Layer, init: Mapping[str, Any] | None = None, **arrays: Array) -> None:
        """A step of the chain."""
        dtype = self.chain.input.dtype
        held = {name: np.ascontiguousarray(array, dtype) for name, array in arrays.items()}
        self.chain = self.chain.then(op, layer.origin, **held).called(layer.name, init)

    def blobs(self, layer: Layer, **shapes: tuple[int, ...]) -> Blobs:
        """The layer's blobs, by the names and in the order that the rule gives them. Raises ForeignModelError."""
        self.parameters += sum(math.prod(shape) for shape in shapes.values())
        limit = MAX_DRAWN if self.given is None else MAX_PARAMETERS
        if self.parameters > limit:
            hint = "import it with its .caffemodel" if self.given is None else None
            raise refusal(layer.origin, f"{self.parameters:,} parameters so far; the limit is {limit:,}", hint)
        if self.given is None:
            found = {name: _random(self.rng, name, shape) for name, shape in shapes.items()}
        else:
            found = self._of_file(layer, shapes)
        self.used[-1] = found
        return found

    def _of_file(self, layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> Blobs:
        """A layer's blobs by name, in the shapes that it needs. Raises ForeignModelError."""
        assert self.given is not None  # noqa: S101 asked for
        held = self.given.get(layer.name, ())
        if len(held) != len(shapes):
            raise refusal(layer.origin, f"the weights have {len(held)} blobs for it, but it needs {len(shapes)}")
        found = {name: array_of(blob, layer.origin) for name, blob in zip(shapes, held, strict=True)}
        for name, shape in shapes.items():
            if not _same(found[name].shape, shape):
                raise refusal(layer.origin, f"its {name} have shape {found[name].shape}, but it needs {shape}")
        return {name: array.reshape(shapes[name]) for name, array in found.items()}


def _same(held: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of one shape, in the order of its memory, is one of the other.

    A 1x1 convolution's (outputs, inputs, 1, 1) may be a CCCP layer's (1, 1, outputs, inputs).
    """
    return _plain(held) == _plain(shape) or (shape[2:] == (1, 1) and held == (1, 1, *shape[:2]))


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the leading ones that the old files have: (1, 1, 1, 96) is (96,)."""
    first = next((k for k, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """Random values that preserve the signal, and exercise every term of a formula."""
    found: Array = rng.standard_normal(shape, np.float32)
    if name == "weight":
        return found * np.float32(math.sqrt(2 / max(math.prod(shape[1:]), 1)))
    if name in {"variance", "factor"}:
        return np.float32(0.5) + np.abs(found)
    return found * np.float32(0.1) + np.float32(name == "gain")
