"""The range of each value of a file, on real pictures.

Minimum and maximum, and no percentile: over trained networks the percentiles of 99.99 and 99.999 and the
entropy gave the same accuracy within one picture in five hundred, and clipping values would be an arbitrary choice. If
a range is too wide for 8 bits, the adjacent layers stay in float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nin_spec.evaluation.scores import Array, Progress
from nin_spec.runtime.installation import import_onnxruntime

_quantization = import_onnxruntime("quantization")

Ranges: TypeAlias = Mapping[str, Any]
"""Ranges by value name, in onnxruntime's type (TensorsData) for its quantiser."""


class _Reader:
    """One batch, in the interface of onnxruntime's calibrators."""

    def __init__(self, name: str, batch: Array) -> None:
        self.coming = [{name: batch}]

    def get_next(self) -> dict[str, Array] | None:
        return self.coming.pop() if self.coming else None


def calibrate(data: bytes, name: str, batches: Iterable[Array], progress: Progress | None = None) -> Ranges:
    """The range of every value of a float32 file over batches of its input `name`, at least one."""
    with tempfile.TemporaryDirectory(prefix="nin-spec-") as folder:
        file = Path(folder, "model.onnx")
        file.write_bytes(data)
        calibrator: Any = _quantization.create_calibrator(
            file,
            augmented_model_path=str(Path(folder, "open.onnx")),
            calibrate_method=_quantization.CalibrationMethod.MinMax,
        )
        # One batch at a time, to bound memory.
        for batch in batches:
            calibrator.collect_data(_Reader(name, batch))
            if progress is not None:
                progress(len(batch))
        found: Ranges = calibrator.compute_data()
    return found


def largest(ranges: Ranges) -> dict[str, float]:
    """The largest magnitude of each value."""
    return {name: max(abs(float(end.item())) for end in found.range_value) for name, found in ranges.items()}
