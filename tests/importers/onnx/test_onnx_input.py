"""What a file takes: bytes come back as bytes, however the graph scales them, and a size that is open is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from examples import few
from foreign_models import graph_file
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import ForeignModelError
from nin_spec.exporter import make
from nin_spec.importers.decompiler.decompile import Imported
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.importers.proof import runner

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3))
GAP: list[Any] = [("GlobalAveragePool", ["last"], ["gap"], {}), ("Flatten", ["gap"], ["y"], {})]


def of_bytes(path: Path, scaling: list[Any], constants: dict[str, Any], *, channels_last: bool) -> Path:
    """A foreign file that takes uint8 pictures and scales them as it says, from `f` to `s`."""
    first = ("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}) if channels_last else ("Identity", ["x"], ["t"], {})
    nodes = [first, ("Cast", ["t"], ["f"], {"to": 1}), *scaling, ("Conv", ["s", "W"], ["last"], {}), *GAP]
    shape = ("n", 8, 8, 3) if channels_last else ("n", 3, 8, 8)
    proto = onnx.load(graph_file(path, nodes, {"W": W, **constants}, shape))
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.save(proto, path)
    return path


def takes_the_same_bytes(path: Path, found: Imported) -> None:
    """The import, exported to take pixels, gives for the same bytes what the original gives."""
    proto = onnx.load(path)
    dims = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim][1:]
    pictures: Any = RNG.integers(0, 256, (5, *dims)).astype(np.uint8)
    (data,) = make(found.model, "onnx", {"takes": "pixels"}).files.values()
    wanted, got = runner(path)(pictures), runner(data)(pictures)
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()


@few
@given(
    st.sampled_from(["none", "Mul", "Div", "Sub", "Sub then Div", "Div then Sub", "by channel"]),
    st.booleans(),
    st.floats(0.001, 200).map(np.float32),
)
def test_a_file_of_bytes_comes_back_as_one_that_takes_the_same_bytes(
    tmp_path: Path,
    kind: str,
    channels_last: bool,  # noqa: FBT001
    number: Any,
) -> None:
    """Nothing is applied twice, for any scaling in the graph itself."""
    words = [] if kind == "none" else ["Mul", "Add"] if kind == "by channel" else kind.split(" then ")
    values = ["f", *(f"v{k}" for k in range(len(words) - 1)), "s"]
    nodes: list[Any] = [(word, [values[k], f"c{k}"], [values[k + 1]], {}) for k, word in enumerate(words)]
    columns = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1) if kind == "by channel" else np.array(1.0)
    constants = {f"c{k}": columns * number * (k + 1) for k in range(len(words))}
    scaling = nodes or [("Identity", ["f"], ["s"], {})]
    path = of_bytes(tmp_path / "net.onnx", scaling, constants, channels_last=channels_last)
    found, remarks = import_onnx(path)
    takes_the_same_bytes(path, found)
    assert any("takes a picture's bytes" in remark for remark in remarks)


def test_a_file_of_bytes_that_scales_nothing_has_scale_one(tmp_path: Path) -> None:
    path = of_bytes(tmp_path / "net.onnx", [("Identity", ["f"], ["s"], {})], {}, channels_last=True)
    found, _ = import_onnx(path)
    assert "preprocess: {scale: 1}" in found.text


# ------------------------------------------------------------------ sizes


def open_file(path: Path, nodes: list[Any], **constants: Any) -> Path:
    """A file that leaves height and width open: nodes from `x` to `a`, a convolution, and a global average."""
    conv = ("Conv", ["a", "W"], ["last"], {"strides": [3, 3]})
    return graph_file(path, [*nodes, conv, *GAP], {"W": W, **constants}, ("n", 3, "h", "w"))


@pytest.mark.parametrize("size", [(16, 16), (17, 17), (18, 21)])
def test_pads_that_depend_on_an_open_size_are_refused(size: tuple[int, int], tmp_path: Path) -> None:
    """Padding up to a multiple of three, computed from the picture's own shape; at each nominal size."""
    nodes = [
        ("Shape", ["x"], ["shape"], {}),
        ("Slice", ["shape", "two", "four"], ["size"], {}),
        ("Neg", ["size"], ["less"], {}),
        ("Mod", ["less", "three"], ["more"], {}),
        ("Concat", ["none", "more"], ["pads"], {"axis": 0}),
        ("Pad", ["x", "pads"], ["a"], {}),
    ]
    numbers = {
        "two": np.array([2]), "four": np.array([4]), "three": np.array([3]), "none": np.zeros(6, np.int64),
    }  # fmt: skip
    with pytest.raises(ForeignModelError, match=r"depends on the picture's size|is computed|leaves them open"):
        import_onnx(open_file(tmp_path / "net.onnx", nodes, **numbers), size)


def test_pads_that_are_computed_and_do_not_depend_on_the_size_are_read(tmp_path: Path) -> None:
    """As exporters write constants: through the rank of the picture."""
    nodes = [
        ("Shape", ["x"], ["shape"], {}),
        ("Shape", ["shape"], ["rank"], {}),
        ("Div", ["rank", "four"], ["one"], {}),
        ("Concat", ["zeros", "one", "one", "zeros", "one", "one"], ["pads"], {"axis": 0}),
        ("Pad", ["x", "pads"], ["a"], {}),
    ]
    path = open_file(tmp_path / "net.onnx", nodes, four=np.array([4]), zeros=np.zeros(2, np.int64))
    assert "padding: 1" in import_onnx(path, (16, 16))[0].text
