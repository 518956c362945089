"""Smaller numbers on a budget: an exported float32 file made into one of another precision, and measured.

settings.py     what is asked for
fitness.py      which device has kernels for which precision
samples.py      on which pictures a file is calibrated, and on which it is measured
trial.py        how many pictures a file still names right
calibration.py  the smallest and largest of each value, on real pictures
float16.py      half numbers between two casts
int8.py         quantised by onnxruntime, integer kernels throughout
job.py          what the making of one file stands on
search.py       the layers that lose most, left in float until the budget holds
reduction.py    all of it, put together
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nin_spec.precision.settings import PRECISIONS, Precision, PrecisionSettings

if TYPE_CHECKING:
    from nin_spec.precision.job import Watch as Watch
    from nin_spec.precision.reduction import reduce as reduce

__all__ = ["PRECISIONS", "Precision", "PrecisionSettings", "Watch", "reduce"]


def __getattr__(name: str) -> Any:
    # Loaded when used: the settings alone cost no onnxruntime, and the command line's help needs no more.
    if name == "Watch":
        from nin_spec.precision.job import Watch

        return Watch
    if name == "reduce":
        from nin_spec.precision.reduction import reduce

        return reduce
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
