"""The expected value of each output of an exported file, from the network's output in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def expected_outputs(
    own: Array, kind: str, found: Mapping[str, NDArray[Any]], maps: Array | None = None
) -> dict[str, tuple[Array, Array]]:
    """For each known output that was found: its actual and its expected value.

    `own` is (n, classes) of the given `kind`: scores, probabilities or log_probabilities. `maps` are the class maps,
    (n, classes, rows, columns), None for a network without any. Classes are compared by their
    probabilities, since equal ones have no order.
    """
    likely = probabilities(own, kind) if own.ndim == 2 else own
    pairs = {
        name: (found[name], right) for name, right in (("scores", own), ("probabilities", likely)) if name in found
    }
    if "top_probabilities" in found and "top_classes" in found:
        values, classes = found["top_probabilities"], found["top_classes"]
        best = -np.sort(-likely, axis=1)[:, : values.shape[-1]]
        pairs["top_probabilities"] = (values, best)
        pairs["top_classes"] = (_by_class(classes, likely).astype(values.dtype), best)
    if "maps" in found and maps is not None:
        pairs["maps"] = (found["maps"], maps)
    return pairs


def probabilities(own: Array, kind: str) -> Array:
    """The probabilities of scores; probabilities are returned unchanged."""
    if kind == "probabilities":
        return own
    powers = np.exp(own - own.max(1, keepdims=True))
    normalised: Array = powers / powers.sum(1, keepdims=True)
    return normalised


def _by_class(classes: NDArray[Any], likely: Array) -> Array:
    """The probabilities of the given classes; NaN for an invalid or repeated class."""
    usable = classes.dtype == np.int64 and classes.ndim == 2 and len(classes) == len(likely)
    if not usable or not ((classes >= 0) & (classes < likely.shape[1])).all():
        return np.full(classes.shape, np.nan)
    found: Array = np.take_along_axis(likely, classes, 1)
    twice = [len(set(row)) != len(row) for row in classes.tolist()]
    found[twice] = np.nan
    return found
