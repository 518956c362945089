"""Files that are not models: the cause in plain words and a fix, for any damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import FLOAT, classifier, content, other_graph, refusal

from nin_spec.diagnostics import Code, InputError
from nin_spec.runtime.session import open_session


def _broken() -> dict[str, tuple[bytes, str]]:
    """Name -> (content, words of the message)."""
    whole = content()
    unknown, dangling, foreign = classifier(), classifier(), classifier()
    unknown.graph.node[0].op_type = "Convolve"
    dangling.graph.node[0].input[1] = "gone"
    foreign.graph.node[0].domain = "their.own"
    foreign.opset_import.append(helper.make_opsetid("their.own", 1))
    return {
        "empty": (b"", "is empty"),
        "garbage": (bytes(range(256)) * 4, "not an ONNX file"),
        "text": (b"spec: 1\nname: nin\n", "not an ONNX file"),
        "truncated": (whole[: len(whole) // 2], "not an ONNX file"),
        "no graph": (onnx.ModelProto(ir_version=8).SerializeToString(), "has no ONNX graph"),
        "IR 99": (content(ir_version=99), "ONNX IR version 99"),
        "opset 99": (content(opset=99), "uses opset 99"),
        "unknown operation": (unknown.SerializeToString(), "the operator Convolve"),
        "foreign operation": (foreign.SerializeToString(), "the operator their.own:Conv"),
        "dangling input": (dangling.SerializeToString(), "'gone' is used but not defined"),
        "float64": (content(dtype=np.float64), "node 'conv' (Conv)"),
    }


@pytest.mark.floors
@pytest.mark.parametrize("name", _broken())
def test_a_file_that_is_not_a_usable_model_is_refused(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The cause in plain words, a remedy, the file's name; nothing printed by onnxruntime."""
    data, words = _broken()[name]
    file = tmp_path / "broken.onnx"
    file.write_bytes(data)
    found = refusal(InputError, lambda: open_session(file))
    assert found.code is Code.MODEL_UNREADABLE
    assert words in found.message
    assert str(file) in found.message
    assert found.hint
    assert "onnxruntime_src" not in found.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [n for n in _broken() if n != "empty"])
def test_broken_bytes_are_refused_as_a_broken_file_is(name: str) -> None:
    """A model given as bytes gets the same words."""
    data, words = _broken()[name]
    assert words in refusal(InputError, lambda: open_session(data, "cpu")).message


@pytest.mark.parametrize("every", [53, pytest.param(7, marks=pytest.mark.long)])
def test_truncations_are_refused_or_run(every: int) -> None:
    """Cut anywhere, a file gives a session or an InputError, never another exception."""
    whole = content(metadata={"labels": ["a", "b", "c", "d"]})
    refused = 0
    for end in range(0, len(whole), every):
        try:
            open_session(whole[:end], "cpu")
        except InputError:
            refused += 1
    assert refused > 0.9 * len(whole) / every


def test_paths_that_are_not_files_are_refused(tmp_path: Path) -> None:
    """A missing file, a folder, and a path that can't exist."""
    for path, words in ((tmp_path / "none", "does not exist"), (tmp_path, "a folder"), ("a\0b", "can't be read")):
        found = refusal(InputError, lambda path=path: open_session(path, "cpu"))  # type: ignore[misc]
        assert found.code is Code.MODEL_UNREADABLE
        assert words in found.message


def test_lost_external_weights_are_named(tmp_path: Path) -> None:
    """The remedy says what is missing beside the model."""
    onnx.save(classifier(), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="m.data")
    (tmp_path / "m.data").unlink()
    found = refusal(InputError, lambda: open_session(tmp_path / "m.onnx", "cpu"))
    assert "weights are in another file" in found.message
    assert found.hint


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            other_graph(
                [helper.make_node("Add", ["a", "b"], ["scores"])],
                [("a", FLOAT, [1, 2]), ("b", FLOAT, [1, 2])],
                [("scores", FLOAT, [1, 2])],
            ),
            "2 inputs",
        ),
        (
            other_graph(
                [helper.make_node("Relu", ["a"], ["x"]), helper.make_node("Neg", ["a"], ["y"])],
                [("a", FLOAT, [1, 2])],
                [("x", FLOAT, [1, 2]), ("y", FLOAT, [1, 2])],
            ),
            "2 outputs",
        ),
        (
            other_graph(
                [helper.make_node("Identity", ["a"], ["scores"])],
                [("a", TensorProto.INT64, [1, 2])],
                [("scores", TensorProto.INT64, [1, 2])],
            ),
            "tensor(int64)",
        ),
        (
            other_graph([helper.make_node("Relu", ["a"], ["scores"])], [("a", FLOAT, None)], [("scores", FLOAT, None)]),
            "declares no shape",
        ),
    ],
    ids=["two inputs", "two outputs", "integers", "no shape"],
)
def test_models_that_are_not_classifiers_are_refused(model: bytes, words: str) -> None:
    """One input, one output called scores or alone, floats, a declared shape."""
    assert words in refusal(InputError, lambda: open_session(model, "cpu")).message
