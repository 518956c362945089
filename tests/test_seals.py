"""A sealed file is known as one as long as it has exactly the content that was written, and as nothing else."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import nin_spec
from nin_spec.exporter import find
from nin_spec.seals import EMPTY, KEY, Kind, kind_of, kind_of_bytes, seal_header, sealed
from nin_spec.weights import read
from nin_spec.weights.storage import sealed_file


def png() -> bytes:
    """A small picture."""
    data = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(data, "PNG")
    return data.getvalue()


def graph() -> bytes:
    """A small ONNX file."""
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    proto = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.helper.set_model_props(proto, {"nin_spec.name": "mine"})
    data: bytes = proto.SerializeToString()
    return data


def weights(**metadata: str) -> bytes:
    """A small safetensors file, sealed."""
    return sealed_file({"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}, metadata)


CONTENT: dict[Kind, bytes] = {
    Kind.ONNX: graph(),
    Kind.SPEC: b"spec: 1\nname: x\n",
    Kind.SOURCE: b'"""A module."""\n\nvalue = 1\n',
    Kind.TRITON: b'name: "x"\n',
    Kind.KSERVE: b"kind: InferenceService\n",
    Kind.SVG: b'<svg xmlns="http://www.w3.org/2000/svg"></svg>\n',
    Kind.PDF: b"%PDF-1.5\n%%EOF\n",
    Kind.TIKZ: b"\\begin{tikzpicture}\n\\end{tikzpicture}\n",
    Kind.MERMAID: b"flowchart LR\n",
    Kind.DOT: b"digraph {\n}\n",
    Kind.REPORT: b"<!doctype html>\n<html></html>\n",
    Kind.PAGE: b"<!doctype html>\n<html><body></body></html>\n",
    Kind.PNG: png(),
    Kind.BENCH: b'{\n  "name": "x"\n}\n',
    Kind.CONFORMANCE: b'{\n  "name": "y"\n}\n',
}
SEALED = {kind: sealed(data, kind) for kind, data in CONTENT.items()} | {Kind.WEIGHTS: weights()}
KINDS = pytest.mark.parametrize("kind", Kind)


@KINDS
def test_a_sealed_file_is_known(kind: Kind, tmp_path: Path) -> None:
    """From its bytes and from the disk, by its kind; the same content has the same seal."""
    path = tmp_path / "any"
    path.write_bytes(SEALED[kind])
    assert kind_of(path) is kind_of_bytes(SEALED[kind]) is kind
    if kind in CONTENT:
        assert sealed(CONTENT[kind], kind) == SEALED[kind]
        assert kind_of_bytes(CONTENT[kind]) is None


@given(kind=st.sampled_from(Kind), data=st.data())
def test_any_edit_breaks_the_seal(kind: Kind, data: st.DataObject) -> None:
    """A byte changed, added or taken away, anywhere, in the seal too."""
    content = SEALED[kind]
    at = data.draw(st.integers(0, len(content) - 1))
    change = data.draw(st.sampled_from(["flip", "insert", "delete", "append", "cut"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    edited = {
        "flip": content[:at] + bytes([content[at] ^ (byte[0] or 1)]) + content[at + 1 :],
        "insert": content[:at] + byte + content[at:],
        "delete": content[:at] + content[at + 1 :],
        "append": content + byte,
        "cut": content[:at],
    }[change]
    assert kind_of_bytes(edited) is None or edited == content


@given(st.binary(max_size=600))
def test_other_files_have_no_seal(content: bytes) -> None:
    """Whatever they hold, a seal of another file's among it."""
    for end in (b"", b"nin-spec seal: svg sha256:" + b"0" * 64, SEALED[Kind.SVG][-110:], SEALED[Kind.WEIGHTS][:200]):
        found = content + end
        assert found in SEALED.values() or kind_of_bytes(found) is None
    assert kind_of_bytes(b"\xff" * 7 + content) is None


def test_text_that_speaks_of_seals_is_sealed_all_the_same() -> None:
    """A page that shows a sealed text, and weights named after a seal, are known by their own."""
    text = b"# nin-spec seal: spec sha256:" + b"0" * 64 + b"\n"
    for content in (text, SEALED[Kind.SPEC], SEALED[Kind.SVG] * 3):
        assert kind_of_bytes(sealed(content, Kind.REPORT)) is Kind.REPORT
    odd = {"nin_spec.name": f'"{KEY}":"{EMPTY}"', "a": EMPTY}
    assert kind_of_bytes(weights(**odd)) is Kind.WEIGHTS


def test_a_header_without_the_place_of_a_seal_is_refused() -> None:
    """Rather than sealed nowhere."""
    with pytest.raises(ValueError, match=r"no nin_spec\.seal"):
        seal_header(b"{}")


def test_every_kind_stays_what_it_is() -> None:
    """Its own readers read it as before."""
    proto = onnx.load_from_string(SEALED[Kind.ONNX])
    onnx.checker.check_model(proto)
    assert {p.key for p in proto.metadata_props} == {"nin_spec.name", KEY}
    assert yaml.safe_load(SEALED[Kind.SPEC]) == {"spec": 1, "name": "x"}
    assert json.loads(SEALED[Kind.BENCH])["name"] == "x"
    names: dict[str, Any] = {}
    exec(compile(SEALED[Kind.SOURCE], "x.py", "exec"), names)  # noqa: S102 what this test wrote
    assert names["value"] == 1
    assert ET.fromstring(SEALED[Kind.SVG]).tag.endswith("svg")  # noqa: S314 what this test wrote
    with Image.open(io.BytesIO(SEALED[Kind.PNG])) as picture:
        picture.load()
        assert picture.info["Seal"].startswith("nin-spec seal: png sha256:")
        assert np.asarray(picture)[1, 2] == 10
    assert safetensors.numpy.load(SEALED[Kind.WEIGHTS])["a.weight"].shape == (2, 3)


def test_our_readers_take_sealed_weights_and_models(tmp_path: Path) -> None:
    """A weights file and an exported model."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights(**{"nin_spec.name": "x"}))
    assert read(path).metadata["nin_spec.name"] == "x"
    model = nin_spec.compile("nin_digits").initialise()
    (target,) = nin_spec.export(model, "onnx", tmp_path / "m.onnx", parity=False)
    (data,) = find("onnx").export(model, find("onnx").Options()).files.values()
    assert kind_of(target) is Kind.ONNX
    assert target.read_bytes() == sealed(data, Kind.ONNX)
    assert nin_spec.open_session(target).metadata.name == "nin_digits"
