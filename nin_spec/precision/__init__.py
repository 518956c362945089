"""Reduced precision on a budget: converts an exported float32 file to another precision, and measures it.

settings.py     the settings
fitness.py      which device has kernels for which precision
samples.py      the pictures for calibration and for measurement
trial.py        the accuracy of a file
calibration.py  the range of each value, on real pictures
float16.py      float16 between two casts
int8.py         quantised by onnxruntime, with integer kernels
job.py          the inputs of one conversion
search.py       keeps the most sensitive layers in float until the budget holds
reduction.py    the modules above put together
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nin_spec.precision.settings import PRECISIONS, Precision, PrecisionSettings

if TYPE_CHECKING:
    from nin_spec.precision.job import Watch as Watch
    from nin_spec.precision.reduction import reduce as reduce

__all__ = ["PRECISIONS", "Precision", "PrecisionSettings", "Watch", "reduce"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the settings, all that the command line's help needs, don't load onnxruntime.
    if name == "Watch":
        from nin_spec.precision.job import Watch

        return Watch
    if name == "reduce":
        from nin_spec.precision.reduction import reduce

        return reduce
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
