"""What no graph of ONNX's operators is, found before anything of it runs; what asks for much, before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foreign_models import graph_file
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nin_spec.diagnostics import ForeignModelError, NinSpecError
from nin_spec.importers.chain import reading
from nin_spec.importers.onnx.importing import import_onnx

W = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
Node = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]
CONV: Node = ("Conv", ["x", "w"], ["c"], {})
TAIL: list[Node] = [("GlobalAveragePool", ["c"], ["g"], {}), ("Flatten", ["g"], ["y"], {})]


def refused(path: Path, message: str) -> None:
    """It is refused, by this message, and onnxruntime never sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nin_spec.importers.onnx.importing.runner", lambda *_: pytest.fail("it ran"))
        with pytest.raises(ForeignModelError, match=message):
            import_onnx(path)


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([CONV, ("Relu", ["x"], ["c"], {}), *TAIL], {}, "its output 'c' is already the name of another value"),
        ([CONV, ("Relu", ["x"], ["w"], {}), *TAIL], {}, "its output 'w' is already the name"),
        ([("Add", ["x", "c"], ["d"], {}), ("Relu", ["d"], ["c"], {}), *TAIL], {}, "the graph has a cycle"),
        ([CONV, ("Relu", ["c"], ["c"], {}), *TAIL], {}, "already the name"),
        ([("Conv", ["x", "gone"], ["c"], {}), *TAIL], {}, "no node produces its input 'gone'"),
        ([("Conv", ["x", "w"], ["c"], {"strides": [2]}), *TAIL], {}, "its attribute strides has 1 number"),
        ([("Conv", ["x", "w"], ["c"], {"strides": [0, 1]}), *TAIL], {}, "its strides is 0, 1; the minimum is 1"),
        ([("Conv", ["x", "w"], ["c"], {"dilations": [-1, 1]}), *TAIL], {}, "its dilations is -1, 1"),
        ([("MaxPool", ["x"], ["c"], {}), *TAIL], {}, "Required attribute 'kernel_shape' is missing"),
        ([("MaxPool", ["x"], ["c"], {"kernel_shape": 3}), *TAIL], {}, "not match ONNX's definition"),
        ([("MaxPool", ["x"], ["c"], {"kernel_shape": [2, 2], "size": 1}), *TAIL], {}, "not match ONNX's definition"),
        ([("BrandNewOp", ["x"], ["c"], {}), *TAIL], {}, "No Op registered for BrandNewOp"),
        ([("Relu", ["x", "w"], ["c"], {}), *TAIL], {}, "not match ONNX's definition"),
        ([("RandomNormal", [], ["r"], {"shape": [1 << 40]}), ("Add", ["x", "r"], ["c"], {}), *TAIL], {},
         "computed from constants alone"),
        ([("Tile", ["w", "n"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {}), *TAIL], {"n": np.array([1, 1, 1, 1])},
         "computed from constants alone"),
        ([("ConstantOfShape", ["n"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {}), *TAIL],
         {"n": np.array([1 << 20, 1 << 20, 3, 3])}, "larger than an import needs"),
        ([("Range", ["a", "b", "s"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {}), *TAIL],
         {"a": np.array(0), "b": np.array(1 << 40), "s": np.array(1)}, "larger than an import needs"),
        ([("Expand", ["w", "n"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {}), *TAIL],
         {"n": np.array([1 << 30, 3, 3, 3])}, "larger than an import needs"),
        ([("Add", ["a", "b"], ["v"], {}), ("Conv", ["x", "v"], ["c"], {}), *TAIL],
         {"a": np.zeros((100_000, 1)), "b": np.zeros((1, 100_000))}, "larger than an import needs"),
    ],
)  # fmt: skip
def test_what_is_not_a_graph_is_refused_before_it_runs(
    nodes: list[Node], constants: dict[str, Any], message: str, tmp_path: Path
) -> None:
    refused(graph_file(tmp_path / "net.onnx", nodes, {"w": W, **constants}), message)


@pytest.mark.parametrize(("a", "b"), [(-(1 << 63), -1), (5, 0)])
def test_integers_that_have_no_quotient_are_refused(a: int, b: int, tmp_path: Path) -> None:
    """At the first of them onnxruntime ends the process."""
    nodes: list[Node] = [
        ("Div", ["a", "b"], ["q"], {}),
        ("Sub", ["q", "q"], ["z"], {}),
        ("Add", ["z", "same"], ["to"], {}),
    ]
    constants = {"w": W, "a": np.array([a]), "b": np.array([b]), "same": np.array([-1, 3, 8, 8])}
    path = graph_file(
        tmp_path / "net.onnx",
        [*nodes, ("Reshape", ["x", "to"], ["r"], {}), ("Conv", ["r", "w"], ["c"], {}), *TAIL],
        constants,
    )
    refused(path, "it divides integers by 0, or the lowest integer by -1")


def test_constants_that_grow_step_by_step_are_refused_where_they_become_too_large(tmp_path: Path) -> None:
    grow: list[Node] = [("Concat", [f"a{k}", f"a{k}"], [f"a{k + 1}"], {"axis": 0}) for k in range(40)]
    nodes = [*grow, ("Conv", ["x", "w", "a40"], ["c"], {}), *TAIL]
    refused(
        graph_file(tmp_path / "net.onnx", nodes, {"w": W, "a0": np.zeros(1024)}),
        "constants computed so far|larger than",
    )


def test_what_nothing_depends_on_is_not_computed(tmp_path: Path) -> None:
    """Constants that would fill the memory, with no effect: neither by the import nor by onnxruntime in its proof."""
    grow: list[Node] = [("Concat", [f"a{k}", f"a{k}"], [f"a{k + 1}"], {"axis": 0}) for k in range(40)]
    path = graph_file(tmp_path / "net.onnx", [*grow, CONV, *TAIL], {"w": W, "a0": np.zeros(1024)})
    assert "kernel: 3" in import_onnx(path)[0].text


def changed(path: Path, change: Any) -> Path:
    """A plain file after a change to its message."""
    model = onnx.load_model(graph_file(path, [CONV, *TAIL], {"w": W}))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def _calls(model: ModelProto, depth: int, *, itself: bool = False) -> None:
    """Functions of which each calls the one before twice, and the graph the last."""
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("my", 1)]
    for k in range(depth):
        name = f"F{k}" if itself else f"F{k - 1}"
        call = (
            helper.make_node(name, ["a"], ["b"], domain="my") if k or itself else helper.make_node("Relu", ["a"], ["b"])
        )
        again = helper.make_node(call.op_type, ["b"], ["c"], domain=call.domain)
        model.functions.append(helper.make_function("my", f"F{k}", ["a"], ["c"], [call, again], opsets))
    model.opset_import.append(helper.make_opsetid("my", 1))
    node = model.graph.node[1]
    node.op_type, node.domain = f"F{depth - 1}", "my"


def test_functions_are_written_out_within_bounds(tmp_path: Path) -> None:
    refused(changed(tmp_path / "bomb.onnx", lambda m: _calls(m, 24)), "expand to more than 20,000 nodes")
    refused(changed(tmp_path / "ring.onnx", lambda m: _calls(m, 1, itself=True)), "function F0: it calls itself")


def test_a_fixed_batch_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = graph_file(tmp_path / "net.onnx", [CONV, *TAIL], {"w": W}, shape=(1_000_000, 3, 8, 8))
    refused(path, "elements for a batch of 1,000,000")


def test_subgraphs_sparse_weights_and_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    def loop(model: ModelProto) -> None:
        body = helper.make_graph([], "body", [], [])
        model.graph.node.append(helper.make_node("Loop", ["", ""], ["l"], body=body))

    def sparse(model: ModelProto) -> None:
        values = numpy_helper.from_array(np.ones(1, np.float32), "s")
        made = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0]), "i"), [4])
        model.graph.sparse_initializer.append(made)

    refused(changed(tmp_path / "loop.onnx", loop), r"l \(Loop\): it has a subgraph")
    refused(changed(tmp_path / "sparse.onnx", sparse), "sparse weights")
    path = changed(tmp_path / "utf8.onnx", lambda m: setattr(m.graph.node[0], "name", "zzzz"))
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"\xff\xfe\xc0z"))
    refused(path, "a name that is not UTF-8")


@pytest.mark.parametrize("dims", [[1 << 62], [1 << 31, 1 << 31, 1 << 31], [-1], [4, 3, 3, 1 << 40]])
def test_weights_of_any_shape_are_refused_by_name(dims: list[int], tmp_path: Path) -> None:
    def reshape(model: ModelProto) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)

    refused(changed(tmp_path / "net.onnx", reshape), "initializer w: it can't be read")


def test_a_constant_that_lies_in_another_file_is_refused(tmp_path: Path) -> None:
    """Only an initializer may, in the model's own folder."""
    (tmp_path / "secret").write_bytes(b"0123" * 27)
    tensor = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[4, 3, 3, 3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=str(tmp_path / "secret"))

    def constant(model: ModelProto) -> None:
        made = helper.make_node("Constant", [], ["w2"], value=tensor)
        model.graph.node.insert(0, made)
        model.graph.node[1].input[1] = "w2"

    refused(changed(tmp_path / "net.onnx", constant), "is in another file")


def test_any_error_raised_inside_is_a_refusal_at_its_origin() -> None:
    for error in (ValueError("bad\nvalue"), KeyError("k"), MemoryError(), RecursionError("deep"), AttributeError("a")):
        with pytest.raises(ForeignModelError, match="here: it can't be read"), reading("there"), reading("here"):
            raise error
    with pytest.raises(KeyboardInterrupt), reading("here"):
        raise KeyboardInterrupt
    assert issubclass(ForeignModelError, NinSpecError)
