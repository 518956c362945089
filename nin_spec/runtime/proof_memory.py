"""The memory of a parity proof, estimated from the graph before it runs, and the batches that fit.

The reference runs in PyTorch in float64 and splits a batch as memory requires. onnxruntime runs a batch as a whole, and
keeps the memory of earlier batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nin_spec.diagnostics import DeviceError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, Pair, ShapeError, TensorType
from nin_spec.printing import memory as shown
from nin_spec.runtime.memory import shortage
from nin_spec.runtime.patience import MEMORY
from nin_spec.runtime.session import PROBE_SIZES

Shape = tuple[int, Pair]
"""The number of pictures of a batch, and their (height, width)."""

UNPROVED = "pass --no-parity (in Python parity=False) to export it without a proof"
_MARGIN = 1.25
"""Measured peaks of single layers were up to 1.13 times the estimate: allocators round up and return late."""
_REFERENCE = 8
_PARAMETER = 32
"""Bytes: the module is built in float32, made float64, and filled from a float64 copy; onnxruntime packs its own."""
_INPUT = 24
"""Bytes: noise is drawn in float64, rounded, and widened again; raw pixels are normalised in float64."""
_SHOWN = 4
"""Bytes per value returned from a device with its own memory."""
_LITTLE = 4 << 20
"""Bytes that any process has."""
_BLOCK = 16
"""onnxruntime rounds channels up to the width of its vectors where it reorders maps (NCHWc)."""
_TWICE = 2
"""Each batch runs twice, the second time in one planned block beside the allocations of the first."""


def _sizes(graph: Graph, size: Pair) -> Iterator[tuple[ops.Op, TensorType, TensorType]]:
    """Each op with its input and output for a picture of another size. Raises ShapeError."""
    x = TensorType((graph.input.shape[0], *size), graph.input.dtype)
    for node in graph:
        y = node.op.infer(x)
        yield node.op, x, y
        x = y


def reference_bytes(graph: Graph, size: Pair) -> int:
    """PyTorch's memory on the CPU for one picture in float64, at the largest layer."""
    return _REFERENCE * max((x.size + y.size + _work(op, x, y) for op, x, y in _sizes(graph, size)), default=0)


def session_bytes(graph: Graph, size: Pair, itemsize: int) -> int:
    """Memory of onnxruntime on the CPU for one picture, at the largest layer."""
    plain = (ops.Conv2d, ops.ReLU, ops.LeakyReLU, ops.PReLU, ops.Pool2d)
    held = (
        _blocked(x) + _blocked(y) * (1 if isinstance(op, plain) else 2)  # others consist of several nodes
        for op, x, y in _sizes(graph, size)
    )
    return itemsize * max(held, default=0)


def traced_bytes(graph: Graph, size: Pair, itemsize: int) -> int:
    """The memory of all values of one picture, as outputs of the file and copied, beside the reference."""
    values = sum(y.size for _, _, y in _sizes(graph, size))
    return 2 * itemsize * values + reference_bytes(graph, size)


def _blocked(x: TensorType) -> int:
    channels, *rest = x.shape
    return math.ceil(channels / _BLOCK) * _BLOCK * math.prod(rest) if rest else channels


def _work(op: ops.Op, x: TensorType, y: TensorType) -> int:
    """Values that a PyTorch layer stores in addition to its input and output.

    A convolution in float64 unfolds its windows, of one group at a time, unless it is 1x1 (aten: ConvolutionMM2d.cpp).
    """
    if isinstance(op, ops.Conv2d):
        pointwise = op.kernel_size == op.stride == (1, 1) and op.padding == Padding()
        kernel = math.prod(op.kernel_size)
        columns = 0 if pointwise else x.shape[0] // op.groups * kernel * math.prod(y.shape[1:])
        padded = 0 if op.padding.symmetric else _padded(x, op.padding)
        joined = 0 if op.groups == 1 else y.size + x.size // op.groups
        return columns + padded + joined
    if isinstance(op, ops.Pool2d):
        return y.size if op.even else y.size + _padded(x, op.reach(x))  # the positions of maxima, in 8 bytes each
    return 2 * x.size if isinstance(op, ops.LocalResponseNorm) else 0


def _padded(x: TensorType, padding: Padding) -> int:
    channels, height, width = x.maps()
    return channels * (height + padding.top + padding.bottom) * (width + padding.left + padding.right)


# ------------------------------------------------------------------ the plan


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A skipped batch, and the bytes that it would need."""

    shape: tuple[int, ...]
    needed: int


@dataclass(frozen=True, slots=True)
class ProofMemory:
    """The available memory: `free` bytes, unlimited if None. `itemsize` is 0 if the device has its own memory."""

    graph: Graph
    free: int | None
    itemsize: int

    def plan(self, shapes: Sequence[Shape]) -> tuple[list[Shape], list[LeftOut]]:
        """The batches to compare, in order, and those that don't fit into memory.

        Raises DeviceError (MEMORY) if none fits.
        """
        kept, left = [], []
        held = self._opening(shapes[0])
        for batch, size in shapes:
            needed = self.needed(batch, size, held)
            if self.free is None or needed <= self.free:
                kept.append((batch, size))
                held += _TWICE * batch * session_bytes(self.graph, size, self.itemsize)
            else:
                left.append(LeftOut((batch, self.graph.input.shape[0], *size), needed))
        if not kept:
            raise self._refusal(min(left, key=lambda batch: batch.needed))
        return kept, left

    def needed(self, batch: int, size: Pair, held: int = 0) -> int:
        """Bytes of a batch with a reference computed picture by picture, in addition to `held`."""
        session = held + _TWICE * batch * session_bytes(self.graph, size, self.itemsize)
        return self._with(session + self._inputs(batch, size) + reference_bytes(self.graph, size))

    def opening(self, shape: Shape) -> int:
        """Bytes by which opening the file may grow the process: it runs once."""
        return max(MEMORY, self._with(self._opening(shape)))

    def piece(self, batch: int, size: Pair, free_memory: Callable[[], int | None]) -> int:
        """How many pictures of a batch the reference processes at once in the free bytes; at least 1."""
        one = max(1, self._with(reference_bytes(self.graph, size)))
        # Finding out how much is free takes longer than computing so little.
        if batch * one <= _LITTLE or (free := free_memory()) is None:
            return batch
        return max(1, min(batch, free // one))

    def check_trace(self, batch: int, size: Pair, free: int | None) -> None:
        """Raise DeviceError (MEMORY) if all values of a batch don't fit."""
        needed = self._with(batch * traced_bytes(self.graph, size, self.itemsize or _SHOWN))
        if free is not None and needed > free:
            raise shortage(f"that needs {shown(needed)} of memory, but {shown(free)} are free", "free some memory")

    def _opening(self, shape: Shape) -> int:
        """A file runs once on zeros when it is opened: at its size, or at the first accepted one for an open size."""
        batch, size = shape
        if self.graph.open_size:
            size = next((probe for probe in ((n, n) for n in PROBE_SIZES) if self._takes(probe)), size)
            batch = 1
        return batch * session_bytes(self.graph, size, self.itemsize)

    def _takes(self, size: Pair) -> bool:
        try:
            return bool(list(_sizes(self.graph, size)))
        except ShapeError:
            return False

    def _inputs(self, batch: int, size: Pair) -> int:
        return batch * _INPUT * self.graph.input.shape[0] * math.prod(size)

    def _with(self, values: int) -> int:
        """Plus the weights of both sides, and a margin."""
        weights = sum(p.size for p in self.graph.parameters().values())
        return int(_MARGIN * (values + _PARAMETER * weights))

    def _refusal(self, least: LeftOut) -> DeviceError:
        batch = least.shape[0]
        pictures = "one picture" if batch == 1 else f"the file's fixed batch of {batch} pictures"
        size = "x".join(map(str, least.shape[1:]))
        message = f"proving {self.graph.name or 'the export'} on {pictures} of {size} needs {shown(least.needed)} "
        message += f"of memory, but {shown(self.free or 0)} are free"
        smaller = (
            "or pass a smaller --input" if batch == 1 else "or pass --batch dynamic, to prove it in smaller batches"
        )
        return shortage(message, f"{UNPROVED}; {smaller}")
