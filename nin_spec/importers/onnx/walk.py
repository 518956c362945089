"""The state of a walk along an ONNX graph: the chain so far, and the current value."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nin_spec.importers.chain import Array, Chain, Step
from nin_spec.importers.onnx.file import Source
from nin_spec.importers.padding import Pending
from nin_spec.importers.recognise import Affine
from nin_spec.importers.rescaling import rescaled
from nin_spec.ir import ops


@dataclass
class Walk:
    """The state of a walk: the chain so far, and the current value.

    `channels_last` says that the value's axes are (N, H, W, C) now; `columns` are features that were flattened
    in that order; `pad` is a padding whose window has not been read yet; `contract` is a change of scale before the
    first step. `open_batch` says that the file takes any number of pictures.
    """

    source: Source
    chain: Chain
    value: str
    batch: int = 1
    channels_last: bool = False
    columns: NDArray[np.int64] | None = None
    pad: Pending | None = None
    contract: Affine | None = None
    open_batch: bool = True
    remarks: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's own shape in the file, with a batch of its own."""
        shape = self.chain.output.shape
        return (self.batch, *shape[1:], shape[0]) if self.channels_last and len(shape) == 3 else (self.batch, *shape)

    @property
    def open_axes(self) -> NDArray[np.int64]:
        """1 for each axis of the value whose size the file leaves open, else 0."""
        maps = self.chain.open_size and self.chain.output.is_map
        maps = maps and not any(isinstance(step.op, ops.GlobalPool2d) for step in self.chain.steps)
        sides, batch = [int(maps)] * 2, [int(self.open_batch)]
        if len(self.shape) != 4:
            return np.array([*batch, *[0] * (len(self.shape) - 1)])
        return np.array([*batch, *sides, 0] if self.channels_last else [*batch, 0, *sides])

    def add(self, op: ops.Op, origin: str, **arrays: Array) -> None:
        """A step of the chain."""
        dtype = self.chain.input.dtype
        held = {key: np.ascontiguousarray(array, dtype) for key, array in arrays.items()}
        self.chain = self.chain.then(op, origin, **held)

    @property
    def last(self) -> Step | None:
        """The step that the value comes from."""
        return self.chain.steps[-1] if self.chain.steps else None

    def rescale(self, change: Affine, origin: str) -> None:
        """A change of scale: part of the input's contract, of the layer before, or a norm of its own."""
        gain, offset = change.gain, change.offset
        if np.all(gain == 1) and np.all(offset == 0):
            return
        if not self.chain.steps:
            before = self.contract or Affine(np.ones_like(gain), np.zeros_like(gain))
            self.contract = Affine(gain * before.gain, gain * before.offset + offset)
            return
        self.chain = rescaled(self.chain, change, origin)
