"""Clips of ONNX and PyTorch: the activation with the same ends, nothing where both are open, else a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.clipping import clip
from nin_spec.ir import ops


@dataclass(frozen=True, repr=False, eq=False)
class ReLU6(ops.Pointwise):
    """A word that the language could have."""

    bounds = (0.0, 6.0)

    def values(self, xp: Any, x: Any) -> Any:
        return xp.clip(x, 0, 6)


@pytest.mark.parametrize(
    ("low", "high", "op"),
    [
        (0, None, ops.ReLU()),
        (0.0, 1e38, ops.ReLU()),
        (np.zeros((1, 4, 1, 1)), math.inf, ops.ReLU()),
        (None, None, None),
        (-1e38, 1e38, None),
        (-math.inf, None, None),
    ],
)
def test_open_ends_do_not_count(low: Any, high: Any, op: ops.Op | None) -> None:
    """Exporters write float's own limits where a clip is open."""
    assert clip(low, high, "here") == op


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [
        (0, 6, r"here: it clips values at 6 \(ReLU6 clips at 6\)"),
        (None, 6, "it clips values at 6"),
        (0, np.array([6.0, 1e38]), "it clips values at 6"),
        (-1, None, "it clips values below -1"),
        (np.array([0.0, -1.0]), None, "it clips values below 0"),
    ],
)
def test_ends_without_a_word_are_refused(low: Any, high: Any, why: str) -> None:
    """With the end that the language lacks."""
    with pytest.raises(ForeignModelError, match=why):
        clip(low, high, "here")


def test_a_new_word_that_clips_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules ask the language what it has."""
    known = list(ops.pointwise())

    def more() -> Iterator[type[ops.Pointwise]]:
        yield from (*known, ReLU6)

    monkeypatch.setattr(ops, "pointwise", more)
    assert clip(0, 6, "here") == ReLU6()
    assert clip(0, None, "here") == ops.ReLU()
