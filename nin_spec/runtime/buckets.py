"""Runs with preallocated buffers: a batch is padded to the next prepared size.

CUDA graphs replay recorded kernels at fixed addresses and shapes, so each size has its own buffers and graph. The code
is not specific to CUDA: it works with any provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.runtime.installation import import_onnxruntime

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """The memory of the buffers, in onnxruntime's terms: `cpu` or `cuda`, and the device's number."""

    kind: str = "cpu"
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Bucket:
    """One batch size: a host array, the buffers on the device, and their binding."""

    staging: Array
    taken: Any
    given: Any
    binding: Any
    how: Any


class BucketRunner:
    """An onnxruntime session run at fixed batch sizes. `takes` and `returns` are (name, shape of one, dtype).

    One run at a time: the buffers are shared, and concurrent callers wait.
    """

    def __init__(
        self,
        inference: Any,
        takes: tuple[str, tuple[int, ...], np.dtype[Any]],
        returns: tuple[str, tuple[int, ...], np.dtype[Any]],
        sizes: Sequence[int],
        place: Place = Place(),
    ) -> None:
        self._inference, self._takes, self._returns, self._place = inference, takes, returns, place
        self._lock = Lock()
        self._buckets = {size: self._prepare(size, number) for number, size in enumerate(sorted(set(sizes)), start=1)}

    @property
    def sizes(self) -> tuple[int, ...]:
        """The prepared batch sizes, ascending."""
        return tuple(self._buckets)

    def run(self, x: Array) -> Array:
        """The outputs for a batch of any size; a batch above the largest bucket is split."""
        largest = self.sizes[-1]
        with self._lock:
            pieces = [self._run(x[k : k + largest]) for k in range(0, max(len(x), 1), largest)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _run(self, x: Array) -> Array:
        count = len(x)
        size = next(s for s in self.sizes if s >= count)
        bucket = self._buckets[size]
        if count == size:
            return self._replay(bucket, x)
        bucket.staging[:count] = x
        bucket.staging[count:] = 0  # the last batch's data there could be NaN
        return self._replay(bucket, bucket.staging)[:count]

    def _replay(self, bucket: _Bucket, x: Array) -> Array:
        bucket.taken.update_inplace(np.ascontiguousarray(x))
        self._inference.run_with_iobinding(bucket.binding, bucket.how)
        # On the CPU numpy() shares the buffer, which the next run overwrites.
        scores: Array = bucket.given.numpy().copy()
        return scores

    def _prepare(self, size: int, number: int) -> _Bucket:
        ort = import_onnxruntime()
        taken, given = (self._buffer(ort, size, shape, dtype) for _, shape, dtype in (self._takes, self._returns))
        binding = self._inference.io_binding()
        binding.bind_ortvalue_input(self._takes[0], taken)
        binding.bind_ortvalue_output(self._returns[0], given)
        how = ort.RunOptions()
        how.log_severity_level = 4  # what goes wrong is raised
        how.add_run_config_entry("gpu_graph_id", str(number))
        return _Bucket(np.zeros((size, *self._takes[1]), self._takes[2]), taken, given, binding, how)

    def _buffer(self, ort: Any, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return ort.OrtValue.ortvalue_from_shape_and_type((size, *shape), dtype, self._place.kind, self._place.number)
