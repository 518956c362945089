"""Our own files are plain, whatever they are exported with; what a file of our own never holds is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashing_models
import endless_models
import numpy as np
import onnx
import pytest
import small_models
from onnx import ModelProto, TensorProto, helper, numpy_helper

import nin_spec
from nin_spec.exporter import make
from nin_spec.named import shipped_names
from nin_spec.runtime.plain_files import is_plain

OPTIONS: list[dict[str, Any]] = [
    {},
    {"takes": "pixels", "outputs": ("scores", "probabilities", "top3"), "opset": 20},
    {"dtype": "float64", "without": ("fold_batch_norm",)},
]


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_specs_export_to_plain_files(name: str, tmp_path: Path) -> None:
    model = nin_spec.compile(name).initialise()
    for given_ in OPTIONS:
        (data,) = make(model, "onnx", given_).files.values()
        assert is_plain(data), given_
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    assert is_plain(str(path))


# ------------------------------------------------------------------ what is not plain


def changed(change: Callable[[ModelProto], object], *, half: bool = False) -> bytes:
    """A plain file, with a change: of float16 with casts, if `half`."""
    model = small_models.classifier(tail="Softmax")
    if half:
        model.graph.node.append(helper.make_node("Cast", ["scores"], ["cast"], to=TensorProto.FLOAT16))
    data: bytes = model.SerializeToString()
    assert is_plain(data)
    change(model)
    found: bytes = model.SerializeToString()
    return found


def constant(name: str, kind: Any = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array([1], kind), name)


def divides(model: ModelProto, *kinds: Any) -> None:
    """Add a quotient of two constants."""
    model.graph.initializer.extend(constant(name, kind) for name, kind in zip("ab", kinds, strict=True))
    model.graph.node.append(helper.make_node("Div", ["a", "b"], ["quotient"]))


def with_first(model: ModelProto, **fields: Any) -> None:
    """Change the first node."""
    for key, value in fields.items():
        setattr(model.graph.node[0], key, value)


def with_weight(model: ModelProto, **fields: Any) -> None:
    for key, value in fields.items():
        setattr(model.graph.initializer[0], key, value)


def attribute(model: ModelProto, key: str, value: Any) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute(key, value))


ODD: dict[str, Callable[[ModelProto], object]] = {
    "another operator": lambda m: with_first(m, op_type="ConvTranspose"),
    "no operator": lambda m: m.graph.node[0].ClearField("op_type"),
    "another domain": lambda m: with_first(m, domain="com.microsoft"),
    "a function's variant": lambda m: with_first(m, overload="x"),
    "integers divided": lambda m: divides(m, np.int64, np.int64),
    "a function": lambda m: m.functions.add(name="F", domain="my"),
    "training": lambda m: m.training_info.add(),
    "a subgraph": lambda m: attribute(m, "body", m.graph),
    "a tensor as an attribute": lambda m: attribute(m, "value", constant("c")),
    "a large attribute": lambda m: attribute(m, "group", 1 << 31),
    "a negative attribute": lambda m: attribute(m, "pads", [0, 0, -1, 0]),
    "a sparse tensor": lambda m: m.graph.sparse_initializer.add(),
    "data in another file": lambda m: with_weight(m, data_location=TensorProto.EXTERNAL),
    "a tensor twice": lambda m: m.graph.initializer.add().CopyFrom(m.graph.initializer[0]),
    "a tensor without a name": lambda m: with_weight(m, name=""),
    "a tensor without a type": lambda m: m.graph.initializer[0].ClearField("data_type"),
    "too many nodes": lambda m: m.graph.node.extend([m.graph.node[1]] * 20_000),
}


@pytest.mark.parametrize("name", ODD)
def test_what_no_own_file_has_is_not_plain(name: str) -> None:
    assert not is_plain(changed(ODD[name]))


def test_integers_are_made_of_nothing_and_not_divided() -> None:
    """Floats may be cast to floats alone, and a division needs a constant of floats."""
    assert is_plain(changed(lambda m: divides(m, np.int64, np.float32)))  # which onnxruntime refuses
    assert is_plain(changed(lambda m: divides(m, np.float16, np.float16)))
    assert is_plain(changed(lambda m: with_weight(m, data_location=TensorProto.DEFAULT)))
    for kind, plain in ((TensorProto.FLOAT, True), (TensorProto.INT64, False), (TensorProto.INT32, False)):
        data = changed(lambda m, kind=kind: setattr(m.graph.node[-1].attribute[0], "i", kind), half=True)  # type: ignore[misc]
        assert is_plain(data) is plain


def test_what_is_reported_twice_counts_twice() -> None:
    """A parser takes the last of two values, or joins them: neither hides the other."""
    data = small_models.content()
    hidden = ModelProto()
    hidden.graph.node.append(helper.make_node("DepthToSpace", ["input"], ["x"], blocksize=2))
    assert not is_plain(data + hidden.SerializeToString())
    assert not is_plain(hidden.SerializeToString() + data)
    node = onnx.NodeProto(op_type="Relu").SerializeToString() + onnx.NodeProto(op_type="Mod").SerializeToString()
    assert not is_plain(data + b"\x3a" + bytes([len(node) + 2]) + b"\x0a" + bytes([len(node)]) + node)


def test_what_is_not_an_onnx_file_is_not_plain(tmp_path: Path) -> None:
    """Text, cut files, groups of an old wire format, onnxruntime's own format by its mark or its name, nothing."""
    data = small_models.content()
    assert not any(is_plain(odd) for odd in (b"hello", b"\0" * 100, data[:-3], data + b"\x0b\x0c", data + b"\xff"))
    assert not is_plain(data[:4] + b"ORTM" + data[8:])
    for name, content in (("net.ort", data), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        assert not is_plain(str(tmp_path / name))
    assert not is_plain(str(tmp_path / "missing.onnx"))
    assert not is_plain(str(tmp_path))


def test_what_hurts_is_not_plain() -> None:
    hostile = {**crashing_models.FAULTS, **crashing_models.LATER}
    assert [name for name, data in hostile.items() if is_plain(data)] == []
    assert not is_plain(endless_models.looping())
