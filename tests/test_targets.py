"""Targets: each names what a server loads, and the table holds together."""

from __future__ import annotations

import itertools

import pytest

import nin_spec
from nin_spec.api import make
from nin_spec.diagnostics import ExportError
from nin_spec.exporters.onnx_file import OPSETS, choose_opset, ir_version
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, TensorType
from nin_spec.targets import ONNXRUNTIME, TRITON, find_target


@pytest.mark.parametrize(
    ("text", "version", "name"),
    [
        ("onnxruntime==1.15", "1.15", "onnxruntime==1.15"),
        ("onnxruntime==1.15.1", "1.15", "onnxruntime==1.15.1"),
        (" triton == 24.10 ", "1.19", "triton==24.10 (onnxruntime==1.19)"),
        ("triton==23.05", "1.15", "triton==23.05 (onnxruntime==1.15)"),
    ],
)
def test_a_target_is_found(text: str, version: str, name: str) -> None:
    """By the minor release of its onnxruntime, whatever the patch."""
    found = find_target(text)
    assert (found.version, str(found)) == (version, name)
    assert found.runtime is ONNXRUNTIME[version]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onnxruntime", "'onnxruntime' is no target"),
        ("onnxruntime=1.15", "is no target"),
        ("tensorrt==10", "hint: write onnxruntime==1.15 or triton==24.10"),
        ("onnxruntime==2.0", "known: 1.8, 1.9"),
        ("onnxruntime==1.15.x", "known: 1.8"),
        ("onnxruntime==1.7", "it is not known what onnxruntime 1.7 loads"),
        ("triton==24.13", "known: 23.05, 23.12, 24.04"),
    ],
)
def test_an_unknown_target_is_refused(text: str, message: str) -> None:
    """With what is known, and nothing guessed."""
    with pytest.raises(ExportError, match=message.replace("(", r"\(")):
        find_target(text)


def test_a_later_release_loads_no_less() -> None:
    """Rows rise, and each loads the IR version that comes with its opset and those before."""
    rows = list(ONNXRUNTIME.values())
    for earlier, later in itertools.pairwise(rows):
        assert earlier.opset <= later.opset
        assert earlier.ir <= later.ir
        assert earlier.rounded <= later.rounded
    for row in rows[list(ONNXRUNTIME).index("1.10") :]:
        assert ir_version(min(row.opset, OPSETS[1])) <= row.ir
    assert set(TRITON.values()) <= set(ONNXRUNTIME)


@pytest.mark.parametrize("name", ONNXRUNTIME)
def test_the_default_opset_suits_every_target(name: str) -> None:
    """17, or the highest that an older one has, and an IR version that it loads."""
    target = find_target(f"onnxruntime=={name}")
    opset = choose_opset(nin_spec.compile("nin_cifar").graph, None, target)
    assert opset == min(17, target.runtime.opset)


def average(padding: Padding) -> Graph:
    """An open ceil-mode average."""
    graph = Graph("open", TensorType((1, 8, 8)), open_size=True)
    return graph.then("pool", ops.AvgPool2d((3, 3), (2, 2), padding, ceil_mode=True))


@pytest.mark.parametrize(
    ("padding", "release", "opset"),
    [
        (Padding(), "1.15", None),
        (Padding(), "1.16", 19),
        (Padding(1, 1, 1, 1), "1.20", None),
        (Padding(1, 1, 1, 1), "1.21", 19),
    ],
)
def test_what_a_target_computes_wrongly_is_refused(padding: Padding, release: str, opset: int | None) -> None:
    """Loading is not enough: such an average gives other numbers before 1.21."""
    target = find_target(f"onnxruntime=={release}")
    if opset is not None:
        assert choose_opset(average(padding), None, target) == opset
        return
    with pytest.raises(ExportError, match="can't compute pool, a ceil-mode average of an open size"):
        choose_opset(average(padding), None, target)


@pytest.mark.parametrize("kind", [ops.MaxPool2d, ops.AvgPool2d])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "behind"),
    [
        ((3, 3), (2, 2), Padding(), "never"),
        ((3, 3), (2, 2), Padding(1, 1, 1, 1), "never"),
        ((2, 2), (2, 2), Padding(1, 1, 1, 1), "at some size"),
        ((2, 2), (3, 3), Padding(), "at some size"),
        ((3, 2), (3, 3), Padding(), "at some size"),
        ((3, 3), (3, 3), Padding(), "never"),
    ],
)
def test_a_window_behind_the_input_is_one_too_many_before_1_21(
    kind: type[ops.Pool2d], kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, behind: str
) -> None:
    """Older releases count it: -inf in a maximum, another divisor in an average. No size needs one elsewhere."""
    op = kind(kernel, stride, padding, ceil_mode=True)
    sizes = [TensorType((1, n, n)) for n in range(4, 30)]
    counted = [-((kernel[1] - n - padding.left - padding.right) // stride[1]) + 1 for n in range(4, 30)]
    assert any(op.counts(x)[1] < whole for x, whole in zip(sizes, counted, strict=True)) == op.may_overhang
    assert op.may_overhang == (behind == "at some size")
    graph = Graph("open", TensorType((1, 8, 8)), open_size=True).then("pool", op)
    assert choose_opset(graph, None, find_target("onnxruntime==1.21"))
    right_before = kind is ops.MaxPool2d or padding == Padding()
    if right_before and not op.may_overhang:
        assert choose_opset(graph, None, find_target("onnxruntime==1.20"))
    else:
        with pytest.raises(ExportError, match="can't compute pool, a ceil-mode"):
            choose_opset(graph, None, find_target("onnxruntime==1.20"))


def test_the_file_is_made_for_it() -> None:
    """Opset, IR version, and what it says of them."""
    import onnx

    model = nin_spec.compile("nin_digits").initialise()
    artifact = make(model, "onnx", {"target": "onnxruntime==1.11", "takes": "pixels", "outputs": "probabilities,top3"})
    (data,) = artifact.files.values()
    proto = onnx.load_from_string(data)
    assert (proto.opset_import[0].version, proto.ir_version) == (16, 8)
    assert "opset 16 and IR version 8, for onnxruntime==1.11" in artifact.remarks
    with pytest.raises(ExportError, match=r"onnxruntime==1.15 runs opset 18 at most, not 22"):
        make(model, "onnx", {"target": "onnxruntime==1.15", "opset": 22})
