"""The temperature of a calibrated network's scores. No spec contains it: it is fitted after training."""

from __future__ import annotations

from dataclasses import dataclass

from nin_spec.ir.op import Op


@dataclass(frozen=True, repr=False, eq=False)
class Temperature(Op):
    """x / value, the value being positive: the order of the scores stays, and so does the predicted class.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """

    value: float
