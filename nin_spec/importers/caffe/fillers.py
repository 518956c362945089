"""Caffe's fillers in the language's words: how weights begin.

Caffe's `xavier` divides by the inputs alone by default, so it is our Kaiming's with another
factor. Sources: BVLC/caffe, include/caffe/filler.hpp; the deviations of nin_spec.weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nin_spec.importers.recognise import rounded

_FANS = {0: "fan_in", 1: "fan_out"}
_HALF, _TWICE = rounded(math.sqrt(0.5)), rounded(math.sqrt(2))


def init_of(weight: Any, bias: Any | None) -> Mapping[str, Any] | None:
    """Initialisation of a layer's tensors, None if the language lacks it; `bias` is None without one."""
    kind = _weight(weight)
    offset = {} if bias is None else _bias(bias)
    return None if kind is None or offset is None else {**kind, **offset}


def _weight(filler: Any) -> dict[str, Any] | None:
    """A filler in the language's words, None if it has none for it."""
    average = filler.variance_norm not in _FANS
    mode = {} if average or not filler.variance_norm else {"mode": _FANS[filler.variance_norm]}
    if filler.type == "gaussian":
        plain = filler.mean == 0 and filler.sparse < 0 and 0 < filler.std < 1e6
        return {"kind": "gaussian", "std": rounded(filler.std)} if plain else None
    if filler.type == "xavier":
        return {"kind": "xavier_uniform"} if average else {"kind": "kaiming_uniform", **mode, "scale": _HALF}
    if filler.type == "msra":
        return {"kind": "xavier_normal", "scale": _TWICE} if average else {"kind": "kaiming_normal", **mode}
    return None


def _bias(filler: Any) -> dict[str, float] | None:
    """A constant, or a normal distribution; zeros are omitted."""
    if filler.type == "constant" and abs(filler.value) < 1e6:
        return {"bias": rounded(filler.value)} if filler.value else {}
    if filler.type == "gaussian" and abs(filler.mean) < 1e6 and 0 <= filler.std < 1e6:
        found = {"bias": rounded(filler.mean), "bias_std": rounded(filler.std)}
        return {key: value for key, value in found.items() if value}
    return None
