"""The proof of an import: every scale counts, each picture for itself; rounding and overflow alone do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from nin_spec.diagnostics import ParityError
from nin_spec.importers.proof import LARGE, compare_all, runner, trial_pictures
from nin_spec.model import Preprocessing

SHAPE = (3, 4, 4)


def summed(x: Any) -> Any:
    """Scores of pictures: three sums."""
    return x.sum((2, 3))


@given(st.sampled_from([6.0, 20.0, 200.0, 900.0]), st.sampled_from([None, 1, 3]))
def test_what_differs_on_large_inputs_alone_is_found(limit: float, batch: int | None) -> None:
    """Whatever the batch."""
    trials = trial_pictures(SHAPE, batch, None)
    with pytest.raises(ParityError, match="relative difference"):
        compare_all(trials, summed, lambda x: summed(np.minimum(x, limit)), "it")


def test_what_differs_on_pictures_alone_is_found() -> None:
    """In the range that the preprocessing gives them: here from 99.5 to 100.5."""
    contract = Preprocessing(1 / 255, (-99.5,) * 3, (1.0,) * 3)

    def theirs(x: Any) -> Any:
        inside = (x > 99.4) & (x < 100.6)
        return summed(np.where(inside, 0, x))

    with pytest.raises(ParityError):
        compare_all(trial_pictures(SHAPE, None, contract), summed, theirs, "it")


def test_a_small_picture_is_not_hidden_by_a_large_one() -> None:
    """A constant 0.1 is much of a usual picture's scores, and nothing of one a thousand times as large."""
    with pytest.raises(ParityError):
        compare_all(trial_pictures(SHAPE, None, None), summed, lambda x: summed(x) + 0.1, "it")


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_what_overflows_in_the_original_counts_for_nothing(batch: int | None) -> None:
    """But where it gives no numbers on usual inputs either, nothing is proved."""
    large = 0.5 * LARGE

    def theirs(x: Any) -> Any:
        return summed(np.where(np.abs(x) > large, np.nan, x))

    assert compare_all(trial_pictures(SHAPE, batch, None), summed, theirs, "it").max_relative == 0
    with pytest.raises(ParityError):
        compare_all(trial_pictures(SHAPE, batch, None), summed, lambda x: summed(x) * np.nan, "it")


def test_what_the_last_bits_of_the_input_change_is_rounding() -> None:
    """A step that any rounding tips over may tip either way."""

    def steep(x: Any) -> Any:
        return np.sin(1e7 * summed(x))

    rounded = compare_all(trial_pictures(SHAPE, None, None), lambda x: steep(x * (1 + 1e-7)), steep, "it").max_relative
    assert rounded > 1e-3


def in_float64(w: Any, *nodes: Any) -> bytes:
    """A 1x1 convolution from `x` to `c`, and nodes from there to `y`."""
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in ("x", "y")]
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    graph = helper.make_graph([conv, *nodes], "g", values[:1], values[1:], [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize(("batch", "channels"), [(1, 6), (4, 2), (3, 3)])
def test_a_response_norm_in_float64_runs_by_its_definition(batch: int, channels: int) -> None:
    """The CPU provider has no float64 kernels for it, so that ONNX's reference runs, with a norm of ours."""
    w = np.random.default_rng(0).standard_normal((channels, 3, 1, 1))
    norm = helper.make_node("LRN", ["c"], ["y"], size=3, alpha=0.5, bias=2.0)
    x = np.random.default_rng(1).standard_normal((batch, *SHAPE))
    maps = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w))
    wanted = torch.nn.functional.local_response_norm(maps, 3, 0.5, 0.75, 2.0).numpy()
    assert np.allclose(runner(in_float64(w, norm))(x), wanted, rtol=1e-6)


def test_an_activation_in_float64_of_large_inputs_warns_of_nothing() -> None:
    """NumPy computes both sides of an ELU, and one of them overflows."""
    w, x = np.ones((1, 3, 1, 1)), np.full((1, *SHAPE), LARGE)
    compute = runner(in_float64(w, helper.make_node("Elu", ["c"], ["y"])))
    assert (compute(x) == 3 * LARGE).all()
