"""Operators that clip, of ONNX and PyTorch alike: the op of the language that has the same ends."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import ArrayLike

from nin_spec.importers.chain import Array, refusal
from nin_spec.importers.regions import UNBOUNDED
from nin_spec.ir import ops

_TRIED = np.linspace(-20.0, 20.0, 401)


def clip(low: ArrayLike | None, high: ArrayLike | None, origin: str) -> ops.Pointwise | None:
    """The activation that keeps values between two ends, each one number, one a channel, or open; None for no change.

    Raises ForeignModelError, at `origin`, for ends that the language has no word for.
    """
    lowest, highest = (None if end is None else np.asarray(end, np.float64) for end in (low, high))
    if lowest is not None and (lowest <= -UNBOUNDED).all():
        lowest = None
    if highest is not None and (highest >= UNBOUNDED).all():
        highest = None
    if lowest is None and highest is None:
        return None
    found = _word(lowest, highest)
    if found is not None:
        return found
    if highest is not None:
        why = f"it clips values at {highest.min():g} (ReLU6 clips at 6), which the language does not support"
        raise refusal(origin, why)
    assert lowest is not None  # noqa: S101 one of them is an end
    why = f"it clips values below {lowest.max():g}, but the language only has ReLU, which clips below 0"
    raise refusal(origin, why)


def _word(lowest: Array | None, highest: Array | None) -> ops.Pointwise | None:
    """The activation without attributes that is this clip."""
    low, high = _number(lowest, -np.inf), _number(highest, np.inf)
    wanted = np.clip(_TRIED, low, high)
    plain = (kind() for kind in ops.pointwise() if not fields(kind) and kind.bounds == (low, high))
    return next((op for op in plain if np.array_equal(op.values(np, _TRIED), wanted)), None)


def _number(end: Array | None, open_end: float) -> float:
    """A limit that is the same for all channels; NaN if it differs."""
    if end is None:
        return open_end
    return float(end.min()) if end.min() == end.max() else float("nan")
