"""Prototxts are read without being believed: each error at its place, nothing deep, long or odd a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from caffe_nets import FOLDER, caffemodel, conv, layer, net, written
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import ForeignModelError, NinSpecError, Source
from nin_spec.importers.caffe import text as caffe_text
from nin_spec.importers.caffe.file import array_of, read_net
from nin_spec.importers.caffe.forms import new_type, old_type
from nin_spec.importers.caffe.importing import import_caffe
from nin_spec.importers.caffe.outline import outline_of
from nin_spec.importers.caffe.proto import messages
from nin_spec.importers.caffe.text import read_text


def test_fields_are_found_where_they_stand() -> None:
    """Whatever the layout: colons, angle brackets, lists, comments and strings that look like fields."""
    first = 'name: "a { b: 1"  # layer {\nlayer # here\n { type: "x" }\n'
    text = first + "layer: <\n  top: '}' >\n layer: [{ a: 1 }, { b: 2 }]"
    places = [(f.name, f.line, f.column, [g.name for g in f.inside]) for f in outline_of(Source("x", text)).inside]
    assert places == [
        ("name", 1, 1, []),
        ("layer", 2, 1, ["type"]),
        ("layer", 4, 1, ["top"]),
        ("layer", 6, 2, ["a", "b"]),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("layer {\n  convolution_param { kernal_size: 3 }\n}", 2, 23, "unknown field 'kernal_size'"),
        ("layer {\n  convolution_param { num_output: 9.5 }\n}", 2, 35, "Couldn't parse integer: 9.5"),
        ("layer { type: CONVOLUTION }", 1, 15, "Expected string but found: 'CONVOLUTION'"),
        ('layers {\n type: "Convolution" }', 2, 8, 'has no value named "Convolution"'),
        ('layer { name: "a"', 1, 15, 'Expected "}"'),
        ('layers { layer { name: "a" type: "conv" } }', 1, 10, "unknown field 'layer'"),
        ("input_dim: 99999999999999999999", 1, 12, "Value out of range"),
        ("spec: 1\nname: nin_cifar\n", 1, 1, "unknown field 'spec'"),
        ("layer { " * 200_000, 1, 1, "the line has 1,600,000 characters"),
        ("layer {\n" * 200_000, 33, 7, "nested more than 32 levels deep"),
        ("{\n" * 200_000, 33, 1, "nested more than 32 levels deep"),
        ("a: [\n" * 200_000, 33, 4, "nested more than 32 levels deep"),
        ("input_dim: 1\n" * 60_000, 50_001, 10, "more than 50,000 fields"),
    ],
    ids=range(13),
)  # fmt: skip
def test_errors_have_their_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ForeignModelError) as caught:
        read_text(text, "net.prototxt")
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert message in found.message
    assert (found.span.line, found.span.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ('net: "train_val.prototxt"\nbase_lr: 0.01', 1, 1, "this is a solver", "nin-spec import train_val.prototxt"),
        ("# c\nbase_lr: 0.01 train_net: 'a b.prototxt'", 2, 1, "this is a solver", "nin-spec import a b.prototxt"),
        ("base_lr: 0.01 net_param { layer { } }", 1, 1, "this is a solver", "a separate file"),
        ("lr_policy: 'step'", 1, 1, "this is a solver", "the .prototxt of the net"),
        ("layers { }\nlayers { }\nlayer { type: 'Softmax' }", 3, 1, "both `layer` and", "layers { type: SOFTMAX ... }"),
        ("layer { }\nlayers { type: INNER_PRODUCT }\nlayer { }", 2, 1, "both", 'layer { type: "InnerProduct" ... }'),
        ('layers { }\nlayer { type: "BatchNorm" }', 2, 1, "both", "no type 'BatchNorm': update the file"),
        ("layer {\n  blobs_lr: 1\n}", 2, 3, "unknown field 'blobs_lr'", "param { lr_mult: ... }"),
        ("layer { weight_decay: 0 }", 1, 9, "unknown field 'weight_decay'", "param { decay_mult: ... }"),
        ("layers { param { lr_mult: 1 } }", 1, 10, "unknown field 'param'", "blobs_lr and weight_decay"),
        ("layers { batch_norm_param { } }", 1, 10, "unknown field 'batch_norm_param'", "only `layer` has it"),
    ],
)
def test_each_form_and_the_solver_are_distinguished_with_a_fix(
    text: str, line: int, column: int, message: str, hint: str
) -> None:
    """A solver beside its net, both forms in one file, fields of the form that this one is not."""
    with pytest.raises(ForeignModelError) as caught:
        read_text(text, "net.prototxt")
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.span.line, found.span.column) == (line, column)
    assert message in found.message
    assert hint in (found.hint or "")


def test_every_old_type_has_a_new_name_that_leads_back() -> None:
    for old in messages.V1LayerParameter.LayerType.keys():  # noqa: SIM118 an enum of protobuf
        assert old_type(new_type(old)) == old


def test_shared_weights_of_the_old_form_are_a_text() -> None:
    """`param: "name"` of `layers` is not taken for the new form's message."""
    assert list(read_text('layers { param: "w" }', "x")[0].layers[0].param) == ["w"]


def test_a_misspelt_field_gets_a_hint() -> None:
    with pytest.raises(ForeignModelError, match="did you mean 'kernel_size'"):
        read_text("layer { convolution_param { kernal_size: 3 } }", "x")


def test_fields_that_change_nothing_are_skipped() -> None:
    """Engines, sources of data, parameters of layers that only measure."""
    data = 'layer { data_param { source: "x" backend: LMDB } accuracy_param { top_k: 5 } } state { level: 1 }'
    text = f"layer {{ relu_param {{ engine: CAFFE }} }} {data}"
    assert len(read_text(text, "x")[0].layer) == 2


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("net.prototxt", b"\xff\xfe\x00"),
        ("net.prototxt", b"\x00" * 1000),
        ("net.prototxt", b" " * (caffe_text.MAX_BYTES + 1)),
        ("net.caffemodel", b"nonsense"),
        ("net.caffemodel", b"\x89HDF\r\n\x1a\n" + b"\x00" * 100),
        ("net.caffemodel", b""),
        ("net.caffemodel", b"\x13" * 200_000),
        ("net.caffemodel", b"\xa2\x06" * 200_000),
    ],
)
def test_what_is_not_a_net_is_refused(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ForeignModelError):
        import_caffe(tmp_path / name)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.prototxt", Path("/dev/zero")):
        with pytest.raises(ForeignModelError):
            read_net(path)


@pytest.mark.parametrize(
    ("dims", "count", "message"),
    [([2, 3], 5, "has 5 values"), ([1 << 62, 1 << 62], 4, "has 4 values"), ([-1, -4], 4, "has 4 values")],
)
def test_blobs_that_lie_about_their_shape_are_refused(dims: list[int], count: int, message: str) -> None:
    blob = messages.BlobProto(data=b"\x00" * (4 * count))
    blob.shape.dim.extend(dims)
    with pytest.raises(ForeignModelError, match=message):
        array_of(blob, "c")
    with pytest.raises(ForeignModelError, match="is truncated"):
        array_of(messages.BlobProto(data=b"\x00" * 7), "c")


TEXT = net(conv("c", more="kernel_size: 3 pad: 1"), layer("ReLU", "c"), layer("LRN", "c", "n"), last="n")
PIECES = [*"{}<]:#'\\é\n", '"', "-1", "1e9", "nan", "inf", "4294967295", "layers", "TEST"]


@many
@given(start=st.integers(0, len(TEXT)), length=st.integers(0, 12), pieces=st.lists(st.sampled_from(PIECES), max_size=3))
def test_no_damage_to_a_text_is_a_traceback(start: int, length: int, pieces: list[str], tmp_path: Path) -> None:
    """A piece cut out, others put in: an import, or a refusal."""
    path = written(tmp_path, TEXT[:start] + "".join(pieces) + TEXT[start + length :])
    try:
        import_caffe(path)
    except NinSpecError as error:
        assert isinstance(error, ForeignModelError)  # noqa: PT017


@given(place=st.floats(0, 1), piece=st.binary(max_size=6))
def test_no_damage_to_a_caffemodel_is_a_traceback(place: float, piece: bytes, tmp_path: Path) -> None:
    caffemodel(written(tmp_path, TEXT), tmp_path / "net.caffemodel")
    data = (tmp_path / "net.caffemodel").read_bytes()
    at = int(place * len(data))
    (tmp_path / "net.caffemodel").write_bytes(data[:at] + piece + data[at + len(piece) :])
    try:
        import_caffe(tmp_path / "net.caffemodel")
    except NinSpecError as error:
        assert isinstance(error, ForeignModelError)  # noqa: PT017


def test_the_published_files_are_read_to_the_last_field() -> None:
    for path in FOLDER.glob("*.prototxt"):
        assert read_net(path).layers
