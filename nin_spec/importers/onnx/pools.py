"""Pools of whole maps at once, where ONNX's reference implementation goes window by window in Python.

Source: ONNX's definitions of AveragePool and MaxPool. A window is a box, so that it is taken axis by axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec.importers.regions import Array

if TYPE_CHECKING:
    from onnx import NodeProto

_WINDOW = 64
"""A window of 16 cells that the reference computes takes the time of so many numbers, and more, that NumPy makes."""
_POOLS = ("AveragePool", "MaxPool")


def is_plain(node: NodeProto, given: dict[str, Any]) -> bool:
    """Whether the pool, of these attributes, is one that is computed here: no version of ONNX has another opinion."""
    explicit = given.get("auto_pad", "NOTSET") == "NOTSET" and not given.get("ceil_mode")
    dense = set(given.get("dilations", ())) <= {1}
    return node.op_type in _POOLS and explicit and dense and len(node.output) == 1


def numbers_of_pool(node: NodeProto, given: dict[str, Any], shape: tuple[int, ...]) -> int:
    """How many numbers a pool of maps of this shape makes, or could make in the same time.

    Any padding counts as if it were on either side.
    """
    kernel: list[int] = given["kernel_shape"]
    added: int = 2 * max(map(abs, given.get("pads", ())), default=0)
    padded = math.prod(shape[:2]) * math.prod(n + added for n in shape[2:])
    if is_plain(node, given):
        return padded * max(1, sum(kernel) // 16)
    windows: int = padded // max(1, math.prod(given.get("strides", ())))
    return max(padded, windows * _WINDOW * max(1, math.prod(kernel) // 16))


def operators() -> list[type]:
    """The plain pools, for ONNX's reference evaluator."""
    from onnx.reference.op_run import OpRun

    class AveragePool(OpRun):
        """The mean of each window."""

        op_domain = ""

        def _run(self, x: Array, **given: Any) -> tuple[Array]:
            return (_average(x, **_windows(x, given)).astype(x.dtype),)

    class MaxPool(OpRun):
        """The largest value of each window."""

        op_domain = ""

        def _run(self, x: Array, **given: Any) -> tuple[Array]:
            return (_largest(x, _windows(x, given)["windows"]),)

    return [AveragePool, MaxPool]


Window = tuple[int, int, int, int]
"""Along an axis: the kernel, the stride, the padding before and after."""


def _windows(x: Array, given: dict[str, Any]) -> dict[str, Any]:
    """The windows along each axis, and whether padding counts. Raises ValueError where none fits."""
    kernel = given["kernel_shape"]
    strides = given.get("strides") or [1] * len(kernel)
    pads = given.get("pads") or [0] * (2 * len(kernel))
    windows = list(zip(kernel, strides, pads[: len(kernel)], pads[len(kernel) :], strict=True))
    if len(kernel) != x.ndim - 2 or any(n + a + b < k for n, (k, _, a, b) in zip(x.shape[2:], windows, strict=False)):
        raise ValueError(f"windows of {kernel} on maps of {x.shape[2:]}")
    return {"windows": windows, "counted": bool(given.get("count_include_pad"))}


def _average(x: Array, windows: list[Window], *, counted: bool) -> Array:
    """The mean of the cells of each window, those of the padding among them if `counted`."""
    found = x.astype(np.float64)
    for axis, window in enumerate(windows, 2):
        cells = np.ones(x.shape[axis])
        numbers = sum(_taps(cells, 0, window, float(counted)))
        shape = [1] * x.ndim
        shape[axis] = -1
        found = sum(_taps(found, axis, window, 0.0)) / np.reshape(numbers, shape)
    return found


def _largest(x: Array, windows: list[Window]) -> Array:
    """The largest value of each window; padding never wins."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    for axis, window in enumerate(windows, 2):
        taps = _taps(x, axis, window, lowest)
        largest = next(taps)
        for tap in taps:
            largest = np.maximum(largest, tap)
        x = largest
    return x


def _taps(x: Array, axis: int, window: Window, fill: float) -> Iterator[Array]:
    """What each cell of the windows along an axis sees: the first cells of all windows, the second ones, and so on."""
    kernel, stride, before, after = window
    sides = [(0, 0)] * x.ndim
    sides[axis] = (before, after)
    padded = np.moveaxis(np.pad(x, sides, constant_values=fill), axis, 0)
    count = (len(padded) - kernel) // stride + 1
    for start in range(kernel):
        yield np.moveaxis(padded[start : start + (count - 1) * stride + 1 : stride], 0, axis)
