"""What the exporters of many tools and years write for one thing, each proved by the import itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foreign_models import graph_file, torch_file
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.onnx.importing import import_onnx

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3))


@pytest.mark.parametrize("opset", range(7, 23))
def test_a_view_is_computed_at_the_opset_of_its_file(opset: int, tmp_path: Path) -> None:
    """`x.view(x.size(0), -1)` of PyTorch 1.x: Unsqueeze has its axes as an attribute before opset 13."""
    attribute: dict[str, Any] = {"axes": [0]} if opset < 13 else {}
    constants: dict[str, Any] = {} if opset < 13 else {"axes": np.array([0])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", *constants], ["n1"], **attribute),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["c", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "fw", "fb"], ["y"], transB=1),
    ]
    arrays: dict[str, Any] = {
        "w": W.astype(np.float32),
        "fw": RNG.standard_normal((10, 144)).astype(np.float32),
        "fb": np.zeros(10, np.float32),
        "zero": np.array(0),
        "rest": np.array([-1]),
        **constants,
    }
    graph = helper.make_graph(
        nodes,
        "view",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.save(model, tmp_path / "view.onnx")
    assert "head: {pool: none, dense: [classes]}" in import_onnx(tmp_path / "view.onnx")[0].text


GAP: list[Any] = [("GlobalAveragePool", ["c"], ["g"], {})]


@pytest.mark.parametrize(
    ("shape", "weight", "nodes", "constants"),
    [
        (
            ("n", 8, 8, 1),
            W[:, :1],
            [
                ("Reshape", ["x", "first"], ["p"], {}),
                ("Conv", ["p", "w"], ["c"], {}),
                *GAP,
                ("Flatten", ["g"], ["y"], {}),
            ],
            {"first": np.array([-1, 1, 8, 8])},
        ),
        (
            ("n", 3, 8, 8),
            W,
            [
                ("Conv", ["x", "w"], ["c"], {}),
                *GAP,
                ("Reshape", ["g", "last"], ["t"], {}),
                ("Reshape", ["t", "flat"], ["y"], {}),
            ],
            {"last": np.array([-1, 1, 1, 4]), "flat": np.array([-1, 4])},
        ),
        (
            ("n", 3, 8, 8),
            W,
            [
                ("Conv", ["x", "w"], ["c"], {}),
                *GAP,
                ("Reshape", ["g", "last"], ["t"], {}),
                ("Reshape", ["t", "first"], ["u"], {}),
                ("Conv", ["u", "v"], ["z"], {}),
                ("Flatten", ["z"], ["y"], {}),
            ],
            {"last": np.array([-1, 1, 1, 4]), "first": np.array([-1, 4, 1, 1]), "v": RNG.standard_normal((5, 4, 1, 1))},
        ),
    ],
    ids=["gray pixels", "pooled maps", "there and back"],
)
def test_a_reshape_that_moves_axes_of_one_cell_is_a_transpose(
    shape: tuple[Any, ...], weight: Any, nodes: list[Any], constants: dict[str, Any], tmp_path: Path
) -> None:
    """As tf2onnx writes it where either order is the same in memory."""
    path = graph_file(tmp_path / "net.onnx", nodes, {"w": weight, **constants}, shape)
    assert "kernel: 3" in import_onnx(path)[0].text


def test_a_reshape_that_mixes_cells_is_not_a_transpose(tmp_path: Path) -> None:
    nodes: list[Any] = [("Conv", ["x", "w"], ["c"], {}), ("Reshape", ["c", "odd"], ["d"], {})]
    nodes += [("GlobalAveragePool", ["d"], ["g"], {}), ("Flatten", ["g"], ["y"], {})]
    path = graph_file(tmp_path / "net.onnx", nodes, {"w": W, "odd": np.array([-1, 6, 6, 4])})
    with pytest.raises(ForeignModelError):
        import_onnx(path)


@pytest.mark.parametrize(("pads", "taken"), [([0, 0, 0, 0, 0, 0, 1, 1], True), ([0, 0, 3, 0, 0, 0, 0, 0], False)])
def test_maps_padded_by_their_own_edge_before_a_maximum(pads: list[int], taken: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A copy of a cell never beats it, as long as each window that sees the copy sees the cell."""
    nodes: list[Any] = [
        ("Conv", ["x", "w"], ["c"], {}),
        ("Pad", ["c", "pads"], ["p"], {"mode": "edge"}),
        ("MaxPool", ["p"], ["m"], {"kernel_shape": [3, 3], "strides": [2, 2]}),
        ("GlobalAveragePool", ["m"], ["g"], {}),
        ("Flatten", ["g"], ["y"], {}),
    ]
    path = graph_file(tmp_path / "net.onnx", nodes, {"w": W, "pads": np.array(pads)})
    if taken:
        assert "pool: {kind: max, kernel: 3, stride: 2, ceil_mode: true}" in import_onnx(path)[0].text
    else:
        with pytest.raises(ForeignModelError):
            import_onnx(path)


def test_a_response_norm_as_pytorchs_exporter_writes_it_is_one(tmp_path: Path) -> None:
    """A pool over channels, in five axes."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(3, 0.5, 0.75, 2.0), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    path = torch_file(tmp_path / "lrn.onnx", net.eval(), (3, 8, 8), dynamo=True)
    assert "norm: {kind: lrn, size: 3, alpha: 0.5, k: 2.0}" in import_onnx(path)[0].text


@pytest.mark.parametrize(
    "nodes",
    [
        [("Split", ["c", "halves"], ["a", "b"], {"axis": 1}), ("Max", ["a", "b"], ["m"], {})],
        [("Reshape", ["c", "chunks"], ["a"], {}), ("ReduceMax", ["a"], ["m"], {"axes": [1], "keepdims": 0})],
        [("Reshape", ["c", "pairs"], ["a"], {}), ("ReduceMax", ["a"], ["m"], {"axes": [2], "keepdims": 0})],
    ],
    ids=["split", "chunks", "pairs"],
)
def test_a_maxout_by_reshape_or_division_is_one(nodes: list[Any], tmp_path: Path) -> None:
    shapes = {"chunks": [-1, 2, 2, 6, 6], "pairs": [-1, 2, 2, 6, 6], "halves": [2, 2]}
    constants = {key: np.array(value) for key, value in shapes.items() if any(key in node[1] for node in nodes)}
    tail: list[Any] = [("GlobalAveragePool", ["m"], ["g"], {}), ("Flatten", ["g"], ["y"], {})]
    path = graph_file(tmp_path / "net.onnx", [("Conv", ["x", "w"], ["c"], {}), *nodes, *tail], {"w": W, **constants})
    assert "maxout" in import_onnx(path)[0].text


@pytest.mark.parametrize("between", [[], [("Relu", ["t"], ["u"], {})]], ids=["taken up", "in the way"])
def test_pictures_padded_before_their_axes_are_moved(between: list[Any], tmp_path: Path) -> None:
    """Channels last, as Keras pads before a convolution with a stride."""
    nodes: list[Any] = [
        ("Pad", ["x", "pads"], ["p"], {}),
        ("Transpose", ["p"], ["t"], {"perm": [0, 3, 1, 2]}),
        *between,
        ("Conv", ["u" if between else "t", "w"], ["c"], {"strides": [2, 2]}),
        ("GlobalAveragePool", ["c"], ["g"], {}),
        ("Flatten", ["g"], ["y"], {}),
    ]
    pads = np.array([0, 0, 1, 0, 0, 1, 2, 0])
    path = graph_file(tmp_path / "net.onnx", nodes, {"w": W, "pads": pads}, ("n", 8, 8, 3))
    if between:
        with pytest.raises(ForeignModelError, match=r"Pad_0 \(Pad\): padding without a convolution or pool after it"):
            import_onnx(path)
    else:
        assert "padding: {top: 0, bottom: 1, left: 1, right: 2}" in import_onnx(path)[0].text


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
def test_a_global_pool_by_hand_of_an_open_size_is_one(operator: str, tmp_path: Path) -> None:
    """At the smallest size its maps have one cell, of which the pool and the flattening are the same."""
    nodes: list[Any] = [
        ("Conv", ["x", "w"], ["c"], {}),
        ("Reshape", ["c", "cells"], ["r"], {}),
        (operator, ["r"], ["y"], {"axes": [2], "keepdims": 0}),
    ]
    path = graph_file(tmp_path / "net.onnx", nodes, {"w": W, "cells": np.array([0, 0, -1])}, ("n", 3, "h", "w"))
    found = import_onnx(path, (8, 8))[0]
    assert found.network.graph.open_size
    assert ("global_max" in found.text) == (operator == "ReduceMax")
