"""Pools of whole maps at once give what onnxruntime gives, and cost what they are said to.

ONNX's own reference gives other shapes where the sides of a maximum's padding differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.budget import MAX_MADE, Budget
from nin_spec.importers.onnx.evaluate import attributes, evaluate_node
from nin_spec.importers.onnx.pools import is_plain, numbers_of_pool
from nin_spec.importers.proof import run


def pool_of(operator: str, **given_: Any) -> Any:
    return helper.make_node(operator, ["x"], ["y"], **given_)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """A node, its maps, and an opset that knows all of the node's attributes."""
    rank = draw(st.integers(1, 3))

    def numbers(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    kernel = numbers(1, 4)
    size = [k + draw(st.integers(0, 3)) for k in kernel]
    pads = [draw(st.integers(0, k - 1)) for _ in range(2) for k in kernel]
    said: dict[str, Any] = {"kernel_shape": kernel}
    said |= draw(st.sampled_from([{}, {"strides": numbers(1, 3)}]))
    said |= draw(st.sampled_from([{}, {"pads": pads}]))
    operator = draw(st.sampled_from(["AveragePool", "MaxPool"]))
    if operator == "AveragePool":
        said |= draw(st.sampled_from([{}, {"count_include_pad": 1}]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = (10 * rng.standard_normal((2, 3, *size))).astype(np.float32)
    return pool_of(operator, **said), x, draw(st.integers(8, 21))


def by_onnxruntime(node: Any, x: Any, opset: int) -> Any:
    """What it computes of the node."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([node], "pool", ends[:1], ends[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    return run(model.SerializeToString(), x)


@given(pools())
def test_plain_pools_are_those_of_the_reference(case: tuple[Any, Any, int]) -> None:
    node, x, opset = case
    assert is_plain(node, attributes(node))
    (y,) = evaluate_node(node, {"x": x}, opset, Budget())
    wanted = by_onnxruntime(node, x, opset)
    assert (y.dtype, y.shape) == (x.dtype, wanted.shape)
    assert np.allclose(y, wanted, rtol=1e-6, atol=1e-5)
    (double,) = evaluate_node(node, {"x": x.astype(np.float64)}, opset, Budget())
    assert double.dtype == np.float64
    assert np.allclose(double, wanted, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("said", [{"ceil_mode": 1}, {"auto_pad": "SAME_UPPER"}, {"dilations": [2, 2]}])
def test_others_are_left_to_the_reference(said: dict[str, Any]) -> None:
    node = pool_of("MaxPool", kernel_shape=[2, 2], strides=[2, 2], **said)
    assert not is_plain(node, attributes(node))
    (y,) = evaluate_node(node, {"x": np.arange(49, dtype=np.float32).reshape(1, 1, 7, 7)}, 19, Budget())
    assert y.ndim == 4


def test_windows_without_a_cell_of_the_maps_and_kernels_beyond_them() -> None:
    """The mean of nothing is NaN, as in the reference; a kernel that does not fit is refused."""
    node = pool_of("AveragePool", kernel_shape=[1, 1], pads=[1, 0, 0, 0])
    (y,) = evaluate_node(node, {"x": np.ones((1, 1, 2, 2), np.float32)}, 19, Budget())
    assert np.isnan(y[0, 0]).tolist() == [[True, True], [False, False], [False, False]]
    with pytest.raises(ForeignModelError, match=r"windows of \[5, 1\] on maps of \(2, 2\)"):
        evaluate_node(pool_of("MaxPool", kernel_shape=[5, 1]), {"x": np.ones((1, 1, 2, 2), np.float32)}, 19, Budget())


@pytest.mark.parametrize(
    ("said", "shape"),
    [
        ({"kernel_shape": [2, 2], "pads": [1 << 40] * 4}, (1, 1, 8, 8)),
        ({"kernel_shape": [2048, 2048]}, (1, 1, 4096, 4096)),
        ({"kernel_shape": [2, 2], "ceil_mode": 1}, (1, 3, 512, 512)),
        ({"kernel_shape": [256, 256], "ceil_mode": 1}, (1, 1, 512, 512)),
    ],
)
def test_a_pool_that_takes_long_counts_as_many_numbers(said: dict[str, Any], shape: tuple[int, ...]) -> None:
    """So that it is refused before it runs."""
    node = pool_of("MaxPool", **said)
    assert numbers_of_pool(node, attributes(node), shape) > MAX_MADE


def test_usual_pools_count_their_maps() -> None:
    node = pool_of("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    assert numbers_of_pool(node, attributes(node), (2, 96, 32, 32)) == 2 * 96 * 34 * 34
