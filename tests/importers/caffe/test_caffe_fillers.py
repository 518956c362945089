"""Caffe's fillers in our words draw what Caffe's draw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nin_spec.importers.caffe.fillers import init_of
from nin_spec.importers.caffe.proto import messages
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import TensorType
from nin_spec.weights import Init, Scheme, initialise

FANS = {"FAN_IN": 32 * 9, "FAN_OUT": 96 * 9, "AVERAGE": 64 * 9}


def filler(**fields: Any) -> Any:
    return messages.FillerParameter(**fields)


@pytest.mark.parametrize("norm", FANS)
@pytest.mark.parametrize("kind", ["xavier", "msra"])
def test_deviations_are_those_of_fillers_hpp(kind: str, norm: str) -> None:
    """xavier: uniform in +-sqrt(3 / n); msra: normal with variance 2 / n; n by `variance_norm`."""
    init = init_of(filler(type=kind, variance_norm=norm), None)
    assert init is not None
    op = ops.Conv2d(96, (3, 3), bias=False)
    graph = Graph("net", TensorType((32, 8, 8))).then("c", op)
    (drawn,) = initialise(graph, Init(default=Scheme(**init)), 0).values()
    n = FANS[norm]
    if kind == "xavier":
        assert np.abs(drawn).max() == pytest.approx(math.sqrt(3 / n), rel=1e-3)
    else:
        assert drawn.std() == pytest.approx(math.sqrt(2 / n), rel=0.02)
        assert np.abs(drawn).max() > 3 * drawn.std()


@pytest.mark.parametrize(
    ("weight", "bias", "init"),
    [
        ({"type": "gaussian", "std": 0.01}, {}, {"kind": "gaussian", "std": 0.01}),
        ({"type": "gaussian", "std": 0.01}, {"value": 0.1}, {"kind": "gaussian", "std": 0.01, "bias": 0.1}),
        (
            {"type": "gaussian"},
            {"type": "gaussian", "mean": 1, "std": 2},
            {"kind": "gaussian", "std": 1, "bias": 1, "bias_std": 2},
        ),
        ({"type": "gaussian", "mean": 1}, {}, None),
        ({"type": "gaussian", "std": float("nan")}, {}, None),
        ({"type": "gaussian", "sparse": 5}, {}, None),
        ({"type": "constant"}, {}, None),
        ({"type": "uniform"}, {}, None),
        ({"type": "msra"}, {"type": "uniform"}, None),
    ],
)
def test_what_has_no_word_is_not_approximated(
    weight: dict[str, Any], bias: dict[str, Any], init: dict[str, Any] | None
) -> None:
    assert init_of(filler(**weight), filler(**bias)) == init
