"""From the layers of a Caffe net to a chain, each with its numbers: the file's own, or random ones for the proof."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.caffe.file import Layer, array_of, located
from nin_spec.importers.caffe.wiring import Wiring
from nin_spec.importers.chain import Array, Chain, reading, refusal
from nin_spec.ir import ops

MAX_PARAMETERS = 1 << 28
MAX_DRAWN = 1 << 26
"""Parameters that are drawn for the proof of a net without weights."""
MAX_CELLS = 1 << 24
MAX_TOTAL = 1 << 25
MAX_MACS = 1 << 35
MAX_WINDOWS = 1 << 19
"""Of one picture: numbers of a layer and of all, multiplications, windows of pools. The proof computes each."""
_SMALLER = "make the picture smaller in its input_param, input_dim or --size"
Blobs = dict[str, Array]


@dataclass
class CaffeWalk:
    """Where a walk stands. `given` are the file's blobs by layer, None where it only declares them.

    `used` are the blobs that each layer computes with, by its number on the path: what the proof takes too.
    """

    chain: Chain
    given: Mapping[str, tuple[Any, ...]] | None
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    used: list[Blobs] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    parameters: int = 0
    macs: int = 0
    cells: int = 0
    windows: int = 0

    def go(self, wiring: Wiring) -> Chain:
        """Along the path. Raises ForeignModelError, at the layer."""
        from nin_spec.importers.caffe.rules import RULES

        for layer in wiring.path:
            self.used.append({})
            rule = RULES.get(layer.type)
            try:
                if rule is None:
                    raise refusal(layer.origin, "the language has no word for what this computes")
                with reading(layer.origin):
                    rule(self, layer)
                self._check_size(layer)
            except ForeignModelError as error:
                raise located(error, layer.span) from None
        self._finish(wiring)
        return self.chain

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
            found = {name: _random(self.chance, name, shape) for name, shape in shapes.items()}
        else:
            found = self._of_file(layer, shapes)
        self.used[-1] = found
        return found

    def _of_file(self, layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> Blobs:
        assert self.given is not None  # noqa: S101 asked for
        held = self.given.get(layer.name, ())
        if len(held) != len(shapes):
            raise refusal(layer.origin, f"the weights have {len(held)} blobs for it, and it needs {len(shapes)}")
        found = {name: array_of(blob, layer.origin) for name, blob in zip(shapes, held, strict=True)}
        for name, shape in shapes.items():
            if not _same(found[name].shape, shape):
                raise refusal(layer.origin, f"its {name} have shape {found[name].shape}, and it needs {shape}")
        return {name: array.reshape(shapes[name]) for name, array in found.items()}

    def _check_size(self, layer: Layer) -> None:
        """What the proof would have to compute so far. Raises ForeignModelError where that is too much."""
        step = self.chain.steps[-1] if self.chain.steps else None
        if step is None or step.name != layer.name:
            return
        self.cells += step.output.size
        self.macs += step.op.macs(step.input)
        self.windows += math.prod(step.op.counts(step.input)) if isinstance(step.op, ops.Pool2d) else 0
        for what, number, limit in (
            ("elements per picture", step.output.size, MAX_CELLS),
            ("elements per picture so far", self.cells, MAX_TOTAL),
            ("multiplications so far", self.macs, MAX_MACS),
            ("windows of pools so far", self.windows, MAX_WINDOWS),
        ):
            if number > limit:
                raise refusal(layer.origin, f"{number:,} {what}; the limit of the proof is {limit:,}", _SMALLER)

    def _finish(self, wiring: Wiring) -> None:
        """Maps of one cell are scores: Caffe's losses take them as they are."""
        if self.chain.output.is_map and self.chain.output.shape[1:] == (1, 1):
            origin = wiring.path[-1].origin if wiring.path else wiring.picture
            self.chain = self.chain.then(ops.Flatten(), origin)


def _same(held: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of one shape, in the order of its memory, is one of the other.

    A 1x1 convolution's (outputs, inputs, 1, 1) may be a CCCP layer's (1, 1, outputs, inputs).
    """
    return _plain(held) == _plain(shape) or (shape[2:] == (1, 1) and held == (1, 1, *shape[:2]))


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the leading ones that the old files have: (1, 1, 1, 96) is (96,)."""
    first = next((k for k, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]


def _random(chance: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """Numbers that a signal survives, and that leave no term of a formula unseen."""
    found: Array = chance.standard_normal(shape, np.float32)
    if name == "weight":
        return found * np.float32(math.sqrt(2 / max(math.prod(shape[1:]), 1)))
    if name in {"variance", "factor"}:
        return np.float32(0.5) + np.abs(found)
    return found * np.float32(0.1) + np.float32(name == "gain")
