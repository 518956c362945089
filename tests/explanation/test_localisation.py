"""Class maps find what they name: digits at random places of a larger picture, by a network that saw none there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nin_spec
from nin_spec.data.opening import open_split
from nin_spec.exporter import make
from nin_spec.pictures import Frame, normalise
from nin_spec.runtime.session import open_session

CANVAS, DIGIT = 24, 8
ENOUGH = 0.95


@pytest.mark.long
def test_the_peak_of_the_true_class_lies_on_the_digit(trained: Path) -> None:
    """In 95% of the held-out digits: nin_digits of an open size, with the weights of its recipe.

    The box of a digit is 11% of the picture. Where a map's peak lies is the middle of its cell's field.
    """
    model = nin_spec.compile("nin_digits", ["input.open=true"]).with_weights(trained)
    (data,) = make(model, "onnx", {"outputs": "scores,maps"}).files.values()
    session = open_session(data, "cpu", 1)
    place, contract = session.metadata.maps, session.metadata.preprocessing
    assert place is not None
    assert contract is not None
    split = open_split("digits", "test")
    digits = split.pictures(np.arange(len(split)), Frame(1, DIGIT, DIGIT))
    corners = np.random.default_rng(0).integers(0, CANVAS - DIGIT + 1, (len(split), 2))
    canvases = np.zeros((len(split), CANVAS, CANVAS, 1), np.uint8)
    for canvas, digit, (top, left) in zip(canvases, digits, corners, strict=True):
        canvas[top : top + DIGIT, left : left + DIGIT] = digit
    scores, maps = session.outputs(normalise(canvases, contract, np.float32, 1), ["scores", "maps"])
    assert np.abs(maps.mean((2, 3)) - scores).max() <= 1e-5 * np.abs(scores).max()
    inside = 0
    for label, found, (top, left) in zip(split.labels, maps, corners, strict=True):
        row, column = np.unravel_index(found[label].argmax(), found[label].shape)
        down, across = place.centre(0, int(row)), place.centre(1, int(column))
        inside += int(top <= down < top + DIGIT and left <= across < left + DIGIT)
    assert inside >= ENOUGH * len(split), f"{inside} of {len(split)}"
