"""A graph that is another network for other batches or sizes is refused, however it asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_models import graph_file

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.onnx.importing import import_onnx

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3))
TAIL: list[Any] = [("GlobalAveragePool", ["c"], ["p"], {}), ("Flatten", ["p"], ["y"], {})]
COUNT: list[Any] = [("Shape", ["x"], ["s"], {}), ("Gather", ["s", "zero"], ["n"], {"axis": 0})]
CONV: Any = ("Conv", ["x", "v"], ["c"], {})
CONSTANTS = {
    "w": W,
    "other": RNG.standard_normal(W.shape),
    "many": np.stack([W] * 9),
    **{name: np.array(value) for name, value in {"zero": 0, "one": 1, "two": 2, "seven": 7}.items()},
    "first": np.array([0]),
    "last": np.array([-1]),
    "four": np.array([4]),
    "half": np.array(0.5, np.float32),
}
HIDDEN: dict[str, list[Any]] = {
    "weights chosen by an equal count": [
        *COUNT,
        ("Equal", ["n", "seven"], ["e"], {}),
        ("Where", ["e", "other", "w"], ["v"], {}),
        CONV,
    ],
    "weights chosen by the count": [*COUNT, ("Gather", ["many", "n"], ["v"], {"axis": 0}), CONV],
    "a count divided": [
        *COUNT,
        ("Div", ["n", "seven"], ["d"], {}),
        ("Cast", ["d"], ["f"], {"to": 1}),
        ("Add", ["w", "f"], ["v"], {}),
        CONV,
    ],
    "the smaller of two": [
        *COUNT,
        ("Min", ["n", "seven"], ["d"], {}),
        ("Gather", ["many", "d"], ["v"], {"axis": 0}),
        CONV,
    ],
    "the count as a float": [
        *COUNT,
        ("Cast", ["n"], ["f"], {"to": 1}),
        ("Conv", ["x", "w"], ["e"], {}),
        ("Mul", ["e", "f"], ["c"], {}),
    ],
    "as many ones, added up": [
        ("Conv", ["x", "w"], ["e"], {}),
        ("Shape", ["e"], ["s"], {}),
        ("ConstantOfShape", ["s"], ["ones"], {}),
        ("ReduceSum", ["ones"], ["f"], {}),
        ("Add", ["e", "f"], ["c"], {}),
    ],
    "a shape inside a region": [
        ("Conv", ["x", "w"], ["e"], {}),
        ("Relu", ["e"], ["r"], {}),
        ("Sigmoid", ["e"], ["g"], {}),
        ("Shape", ["g"], ["s"], {}),
        ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
        ("Div", ["n", "seven"], ["d"], {}),
        ("Cast", ["d"], ["f"], {"to": 1}),
        ("Mul", ["r", "f"], ["z"], {}),
        ("Add", ["z", "e"], ["c"], {}),
    ],
    "the size of a picture": [
        ("Size", ["x"], ["n"], {}),
        ("Div", ["n", "seven"], ["d"], {}),
        ("Cast", ["d"], ["f"], {"to": 1}),
        ("Add", ["w", "f"], ["v"], {}),
        CONV,
    ],
}


ROWS: dict[str, list[Any]] = {
    "the seventh": [("Slice", ["e", "six", "eight", "first"], ["r"], {})],
    "the seventh, by a negative axis": [("Slice", ["e", "six", "eight", "minus"], ["r"], {})],
    "the seventh of moved axes": [
        ("Transpose", ["e"], ["t"], {"perm": [1, 0, 2, 3]}),
        ("Slice", ["t", "six", "eight", "second"], ["r"], {}),
    ],
    "the seventh of joined axes": [
        ("Reshape", ["e", "joined"], ["t"], {}),
        ("Slice", ["t", "later", "much", "second"], ["r"], {}),
    ],
}


TOGETHER: dict[str, list[Any]] = {
    "flattened": [("GlobalAveragePool", ["e"], ["p"], {}), ("Flatten", ["p"], ["y"], {"axis": 0})],
    "averaged": [("ReduceMean", ["e"], ["p"], {"axes": [0, 2, 3]}), ("Flatten", ["p"], ["y"], {})],
    "added up": [("ReduceSum", ["e"], ["p"], {"keepdims": 1}), ("Flatten", ["p"], ["y"], {})],
    "compared": [
        ("GlobalAveragePool", ["e"], ["p"], {}),
        ("Flatten", ["p"], ["q"], {}),
        ("Softmax", ["q"], ["y"], {"axis": 0}),
    ],
}


@pytest.mark.parametrize("name", TOGETHER)
def test_pictures_of_an_open_batch_are_not_taken_together(name: str, tmp_path: Path) -> None:
    """Of one picture, each of these is what a network of the language computes."""
    path = graph_file(tmp_path / "net.onnx", [("Conv", ["x", "w"], ["e"], {}), *TOGETHER[name]], {"w": W})
    with pytest.raises(ForeignModelError, match="moves or chooses pictures of a batch"):
        import_onnx(path)


@pytest.mark.parametrize("name", ROWS)
def test_what_chooses_pictures_of_an_open_batch_is_refused(name: str, tmp_path: Path) -> None:
    """A sum over pictures beyond those that the proof runs is nothing there."""
    ends = {
        "six": [6],
        "eight": [8],
        "minus": [-4],
        "second": [1],
        "joined": [1, -1, 6, 6],
        "later": [24],
        "much": [32],
    }
    nodes = [("Conv", ["x", "w"], ["e"], {}), *ROWS[name], ("ReduceSum", ["r"], ["f"], {"keepdims": 0})]
    nodes = [*nodes, ("Add", ["e", "f"], ["c"], {}), *TAIL]
    used = {value for node in nodes for value in node[1]}
    known = {**CONSTANTS, **{key: np.array(value) for key, value in ends.items()}}
    path = graph_file(tmp_path / "net.onnx", nodes, {k: v for k, v in known.items() if k in used})
    with pytest.raises(ForeignModelError, match="moves or chooses pictures of a batch"):
        import_onnx(path)


def file_of(path: Path, nodes: list[Any], shape: tuple[int | str, ...] = ("n", 3, 8, 8)) -> Path:
    used = {name for node in [*nodes, *TAIL] for name in node[1]}
    return graph_file(path, [*nodes, *TAIL], {k: v for k, v in CONSTANTS.items() if k in used}, shape)


@pytest.mark.parametrize("name", HIDDEN)
def test_what_computes_with_the_batch_is_refused(name: str, tmp_path: Path) -> None:
    """It gives one network for one picture, and another for seven."""
    with pytest.raises(ForeignModelError) as caught:
        import_onnx(file_of(tmp_path / "net.onnx", HIDDEN[name]))
    assert "the file leaves them open" in caught.value.diagnostics[0].message


def test_what_computes_with_an_open_size_is_refused(tmp_path: Path) -> None:
    """At any nominal size."""
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "two"], ["n"], {"axis": 0}),
        *HIDDEN["weights chosen by an equal count"][2:],
    ]
    path = file_of(tmp_path / "net.onnx", nodes, (1, 3, "h", "w"))
    for size in ((7, 7), (9, 12)):
        with pytest.raises(ForeignModelError, match="the file leaves them open"):
            import_onnx(path, size)


@pytest.mark.parametrize("batch", [1, 7])
def test_a_fixed_batch_decides(batch: int, tmp_path: Path) -> None:
    """The network is the one of that batch, and is proved at it."""
    nodes = HIDDEN["weights chosen by an equal count"]
    found, _ = import_onnx(file_of(tmp_path / "net.onnx", nodes, (batch, 3, 8, 8)))
    weights = next(array for array in found.model.weights.values() if array.ndim == 4)
    np.testing.assert_allclose(weights, CONSTANTS["other"] if batch == 7 else W, rtol=1e-6)


def test_a_shape_may_be_moved_multiplied_and_compared_with_what_no_size_is(tmp_path: Path) -> None:
    """As exporters flatten by hand, and write `expand`."""
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}),
        ("GlobalAveragePool", ["c"], ["p"], {}),
        ("Shape", ["p"], ["s"], {}),
        ("Gather", ["s", "first"], ["n"], {"axis": 0}),
        ("Gather", ["s", "one"], ["k"], {"axis": 0}),
        ("Mul", ["k", "one"], ["k1"], {}),
        ("Unsqueeze", ["k1", "first"], ["k2"], {}),
        ("Concat", ["n", "k2"], ["t"], {"axis": 0}),
        ("Equal", ["t", "last"], ["e"], {}),
        ("Where", ["e", "four", "t"], ["to"], {}),
        ("Reshape", ["p", "to"], ["y"], {}),
    ]
    path = graph_file(tmp_path / "net.onnx", nodes, {k: v for k, v in CONSTANTS.items() if k not in {"many", "other"}})
    assert import_onnx(path)[0].network.graph.output.shape == (4,)
