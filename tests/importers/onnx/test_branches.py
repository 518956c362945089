"""An If whose condition is known is the branch that it takes; any other is refused."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.onnx.importing import import_onnx

FLOAT = TensorProto.FLOAT


@pytest.mark.parametrize("opset", [9, 13, 17])
@pytest.mark.parametrize("axes", [{}, {0: "n"}, {0: "n", 2: "h", 3: "w"}], ids=["fixed", "batch", "size"])
def test_a_response_norm_as_pytorchs_older_exporter_writes_it_is_one(
    opset: int, axes: dict[int, str], tmp_path: Path
) -> None:
    """With an If, which asks whether a pool over channels left more than one of its own axis."""
    norm = nn.LocalResponseNorm(3, 0.5, 0.75, 2.0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    path = tmp_path / "lrn.onnx"
    given: dict[str, Any] = {
        "opset_version": opset,
        "input_names": ["x"],
        "dynamic_axes": {"x": axes} if axes else None,
    }
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 3, 16, 16),), path, dynamo=False, **given)
    assert any(node.op_type == "If" for node in onnx.load(path).graph.node) == (opset > 9)
    assert "norm: {kind: lrn, size: 3, alpha: 0.5, k: 2.0}" in import_onnx(path, (16, 16))[0].text


# ------------------------------------------------------------------ by hand


def branch(*nodes: NodeProto, output: str = "b", constants: dict[str, Any] | None = None) -> GraphProto:
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()]
    return helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info(output, FLOAT, None)], tensors)


RELU = branch(helper.make_node("Relu", ["c"], ["b"]))
SCALED = branch(helper.make_node("Mul", ["c", "k"], ["m"]), output="m", constants={"k": np.array(3, np.float32)})
NESTED = branch(helper.make_node("If", ["no"], ["i"], then_branch=SCALED, else_branch=RELU), output="i")


def file_of(path: Path, condition: str, then: GraphProto, other: GraphProto, *nodes: NodeProto, **given: Any) -> Path:
    """A convolution to `c`, an If of it to `d`, and scores."""
    made = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        *nodes,
        helper.make_node("If", [condition], ["d"], name="choice", then_branch=then, else_branch=other),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    constants = {"w": weights, "yes": np.array(True), "no": np.array(False), "one": np.array(1), "four": np.array(4)}
    graph = helper.make_graph(
        made,
        "chooses",
        [helper.make_tensor_value_info("x", FLOAT, given.get("shape", ["n", 3, 8, 8]))],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


COUNTED = [
    helper.make_node("Shape", ["c"], ["s"]),
    helper.make_node("Gather", ["s", "one"], ["n"], axis=0),
    helper.make_node("Equal", ["n", "four"], ["even"]),
]


@pytest.mark.parametrize(
    ("condition", "then", "other", "nodes"),
    [
        ("yes", RELU, SCALED, []),
        ("no", SCALED, RELU, []),
        ("no", SCALED, NESTED, []),
        ("even", RELU, SCALED, COUNTED),
    ],
    ids=["yes", "no", "nested", "the number of channels"],
)
def test_the_branch_that_is_taken_is_the_network(
    condition: str, then: GraphProto, other: GraphProto, nodes: list[NodeProto], tmp_path: Path
) -> None:
    """And the proof runs the file with both."""
    found, remarks = import_onnx(file_of(tmp_path / "net.onnx", condition, then, other, *nodes))
    assert [node.kind for node in found.network.graph][:2] == ["Conv2d", "ReLU"]
    assert any("computes the same" in remark for remark in remarks)


def test_a_constant_of_a_branch_counts(tmp_path: Path) -> None:
    found, _ = import_onnx(file_of(tmp_path / "net.onnx", "yes", SCALED, RELU))
    kinds = [node.kind for node in found.network.graph]
    assert kinds[0] == "Conv2d"
    assert "ReLU" not in kinds


def test_two_of_the_same_names_are_kept_apart(tmp_path: Path) -> None:
    """A branch's names are its own: both Ifs call their result `b`."""
    first = helper.make_node("If", ["yes"], ["c"], name="first", then_branch=branch(
        helper.make_node("Relu", ["e"], ["b"])), else_branch=branch(helper.make_node("Neg", ["e"], ["b"])))  # fmt: skip
    path = file_of(tmp_path / "net.onnx", "no", SCALED, branch(helper.make_node("Sigmoid", ["c"], ["b"])), first)
    model = onnx.load(path)
    model.graph.node[0].output[0] = "e"
    onnx.save(model, path)
    found, _ = import_onnx(path)
    assert [node.kind for node in found.network.graph][:3] == ["Conv2d", "ReLU", "Sigmoid"]


BRIGHT = [
    helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
    helper.make_node("Cast", ["most"], ["bright"], to=9),
]
BY_BATCH = [
    helper.make_node("Shape", ["x"], ["s"]),
    helper.make_node("Slice", ["s", "zeros", "ones"], ["n"]),
    helper.make_node("Equal", ["n", "four"], ["even"]),
]


@pytest.mark.parametrize(
    ("condition", "then", "nodes", "why"),
    [
        ("bright", RELU, BRIGHT, "a network of the language is a chain"),
        (
            "even",
            RELU,
            [COUNTED[0], helper.make_node("Gather", ["s", "zero"], ["n"], axis=0), COUNTED[2]],
            "leaves them open",
        ),
        ("yes", branch(helper.make_node("Relu", ["nowhere"], ["b"])), [], "no node produces its input 'nowhere'"),
        ("yes", branch(helper.make_node("Relu", ["c"], ["w"]), output="w"), [], "already the name of another value"),
        ("yes", branch(helper.make_node("Loop", ["", ""], ["b"], body=RELU)), [], "it has a subgraph"),
        ("yes", branch(helper.make_node("Relu", ["c"], ["b"], axis=3)), [], "does not match ONNX's definition"),
    ],
    ids=["by the picture", "by the batch", "of nothing", "of a name that exists", "with a loop", "of a wrong node"],
)
def test_other_choices_are_refused(
    condition: str, then: GraphProto, nodes: list[NodeProto], why: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path / "net.onnx", condition, then, SCALED, *nodes)
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0), "zero"))
    onnx.save(model, path)
    with pytest.raises(ForeignModelError, match=why):
        import_onnx(path)
