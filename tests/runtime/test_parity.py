"""The parity gate: what passes, and what it says of what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import nin_spec
from nin_spec.diagnostics import Code, DeviceError, InputError, ParityError
from nin_spec.exporter import find
from nin_spec.exporters import onnx_rules
from nin_spec.exporters.onnx_writer import Writer
from nin_spec.ir import ops
from nin_spec.model import Model
from nin_spec.runtime import parity, tolerances
from nin_spec.runtime.buckets import BucketRunner
from nin_spec.runtime.parity import Case, check_parity, compare
from nin_spec.runtime.session import Session, open_session

SPEC = """\
spec: 1
name: small
input: {channels: 3, size: 12}
classes: 4
blocks:
  - channels: [6, 5]
    kernel: 3
    padding: 1
    norm: batch
    pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}
    dropout: 0.5
  - channels: [6, classes]
    kernel: 3
    padding: 1
    activation: {kind: leaky_relu, slope: 0.1}
head: {pool: global_avg}
"""


def small(text: str = SPEC) -> Model:
    """A model with random weights and running statistics."""
    model = nin_spec.compile(nin_spec.loads(text)).initialise(1)
    random = np.random.default_rng(0)
    weights = {n: np.abs(w + 0.3 * random.standard_normal(w.shape)).astype(w.dtype) for n, w in model.weights.items()}
    return replace(model, weights=weights)


def export(model: Model, **options: Any) -> bytes:
    """The bytes of the exported file."""
    exporter = find("onnx")
    (data,) = exporter.export(model, exporter.Options(**options)).files.values()
    return data


def changed(data: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    """A file with something changed in it."""
    proto = onnx.load_from_string(data)
    change(proto)
    written: bytes = proto.SerializeToString()
    return written


def scale(name: str, factor: float) -> Callable[[onnx.ModelProto], None]:
    """Multiply one initializer."""

    def change(proto: onnx.ModelProto) -> None:
        (tensor,) = (t for t in proto.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))

    return change


def test_a_good_file_passes() -> None:
    """Batches of one, two and seven, all within the tolerance, every top-1 class agreeing."""
    report = check_parity(small(), export(small()))
    facts = report.as_dict()
    assert [shape[0] for shape in facts["shapes"]] == [1, 2, 7]
    assert 0 < facts["max_relative"] < 1e-5 < facts["tolerance"] == 1e-4
    assert facts["top1_agreement"] == 1
    assert (facts["provider"], facts["precision"]) == ("CPUExecutionProvider", "float32")
    assert "top-1 agrees on 10 of 10" in str(report)


def test_a_fixed_batch_is_compared_at_that_batch() -> None:
    """A file of three images takes three."""
    assert {c.shape[0] for c in check_parity(small(), export(small(), batch=3)).cases} == {3}


def test_an_open_size_is_compared_at_other_sizes() -> None:
    """At the nominal one first, the smallest, odd and even ones, and in every batch."""
    text = SPEC.replace("size: 12}", "size: 12, open: true}")
    shapes = [c.shape for c in check_parity(small(text), export(small(text))).cases]
    assert shapes[0] == (1, 3, 12, 12)
    assert shapes[1] == (2, 3, 2, 2)
    assert {shape[0] for shape in shapes} == {1, 2, 7}
    assert {height % 2 for *_, height, _ in shapes} == {width % 2 for *_, width in shapes} == {0, 1}
    fixed = check_parity(small(text), export(small(text), batch=3)).cases
    assert [c.shape for c in fixed] == [(3, *shape[1:]) for shape in shapes]


POOL = """\
spec: 1
name: wide
input: {channels: 1, size: 14, open: true}
classes: 2
blocks:
  - pool: {kind: KIND, kernel: 5, stride: 5, ceil_mode: true}
  - {convs: [{channels: classes, activation: none}], kernel: 1}
"""


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_a_file_that_is_wrong_at_some_sizes_alone_is_caught(kind: str) -> None:
    """End padding for rounding up: what is right at 14, 17, 19, 20 and 24 leaves out a last window of one cell."""
    model = small(POOL.replace("KIND", kind))

    def end_padded(proto: onnx.ModelProto) -> None:
        (pool,) = (n for n in proto.graph.node if n.op_type in ("AveragePool", "MaxPool"))
        given = {a.name: a for a in pool.attribute}
        given["ceil_mode"].i = 0
        given["pads"].ints[:] = [0, 0, 3, 3]

    check_parity(model, export(model))
    with pytest.raises(ParityError, match=r"differs from the nn\.Module .*first at blocks\.0\.pool"):
        check_parity(model, changed(export(model), end_padded))


def test_an_open_size_is_proved_at_small_sizes_however_large_the_spec_names_it() -> None:
    """One picture of the nominal size, all others small: the proof costs what the network costs once."""
    text = SPEC.replace("size: 12}", "size: 700, open: true}")
    (first, *rest) = check_parity(small(text), export(small(text))).cases
    assert first.shape == (1, 3, 700, 700)
    assert all(max(case.shape[2:]) < 64 for case in rest)


def test_the_inputs_follow_the_seed() -> None:
    """One seed, one comparison; another seed, another."""
    model = small()
    data = export(model)
    first, again, other = (check_parity(model, data, seed=s).max_absolute for s in (0, 0, 1))
    assert first == again != other


def test_a_broken_rule_is_named_at_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first node that differs, not the last, and the line of the spec that asked for it."""

    def wrong(w: Writer, node: Any, _: ops.AvgPool2d) -> None:
        w.add("AveragePool", node, kernel_shape=(3, 3), strides=(2, 2), pads=[0, 0, 1, 1], count_include_pad=1)

    monkeypatch.setitem(onnx_rules.RULES, ops.AvgPool2d, wrong)
    with pytest.raises(ParityError) as caught:
        check_parity(small(), export(small()))
    (found,) = caught.value.diagnostics
    assert "first at blocks.0.pool" in found.message
    assert found.span is not None
    assert SPEC.splitlines()[found.span.line - 1].strip().startswith("pool: {kind: avg")


@pytest.mark.parametrize(
    ("tensor", "node"), [("blocks.0.convs.0.weight", "blocks.0.norms.0"), ("blocks.1.convs.1.bias", "blocks.1.convs.1")]
)
def test_a_changed_weight_is_named(tensor: str, node: str) -> None:
    """At the beginning of the network and at its end."""
    with pytest.raises(ParityError, match=f"first at {node}"):
        check_parity(small(), changed(export(small()), scale(tensor, 1.1)))


def test_the_last_layer_is_named_though_dropout_follows() -> None:
    """What a pass left out is not blamed for what stands before it."""
    text = SPEC.replace("head: {pool: global_avg}", "head: {pool: global_avg, dense: [4], dropout: 0.5}")
    text = text.replace("classes]", "5]")
    model = small(text)
    (last,) = (n.name for n in model.graph if isinstance(n.op, ops.Linear))
    with pytest.raises(ParityError, match=f"first at {last}"):
        check_parity(model, changed(export(model), scale(f"{last}.weight", 2)))


def test_a_small_difference_is_caught() -> None:
    """An epsilon of 1e-3 for 1e-5."""

    def epsilon(proto: onnx.ModelProto) -> None:
        (norm, *_) = (n for n in proto.graph.node if n.op_type == "BatchNormalization")
        (attribute,) = (a for a in norm.attribute if a.name == "epsilon")
        attribute.f = 1e-3

    with pytest.raises(ParityError, match=r"first at blocks.0.norms.0"):
        check_parity(small(), changed(export(small(), without="fold_batch_norm"), epsilon))


def test_a_number_that_is_not_finite_fails() -> None:
    """Before values are compared, and at its node."""
    with pytest.raises(ParityError, match=r"a number that is not finite.*first at blocks.1.convs.0"):
        check_parity(small(), changed(export(small()), scale("blocks.1.convs.0.weight", np.nan)))


def test_a_batch_baked_into_the_graph_is_a_failure() -> None:
    """A file that promises any batch and takes one alone does not pass for having run once."""

    def bake(proto: onnx.ModelProto) -> None:
        proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 4]), "shape"))
        flatten = proto.graph.node[-1]
        flatten.CopyFrom(onnx.helper.make_node("Reshape", [flatten.input[0], "shape"], ["scores"], name=flatten.name))

    with pytest.raises(ParityError, match=r"does not accept an input that its spec allows: .*2, 3, 12, 12"):
        check_parity(small(), changed(export(small()), bake))


def test_a_difference_of_the_optimised_graph_alone_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no node differs once every value is laid open, onnxruntime's optimiser is to blame."""
    monkeypatch.setattr(parity, "_every_value", lambda *_: {})
    with pytest.raises(ParityError, match="none of its nodes does") as caught:
        check_parity(small(), changed(export(small()), scale("blocks.0.convs.0.weight", 2)))
    assert "optimisation" in str(caught.value)


def test_a_failure_is_explained_in_the_arithmetic_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file with its values laid open gets the same device and options: others may compute something else."""
    opened: list[tuple[Any, Any]] = []

    def recorded(data: bytes, device: str, **more: Any) -> Session:
        opened.append((device, more["options"]))
        return open_session(data, device, **more)

    monkeypatch.setattr(parity, "open_session", recorded)
    options = {"spinning": "never"}
    with pytest.raises(ParityError, match=r"first at blocks\.0") as caught:
        check_parity(small(), changed(export(small()), scale("blocks.0.convs.0.weight", 2)), options=options)
    assert opened == [("cpu", options)] * 2
    assert "options that round" in str(caught.value)


def test_a_failure_stays_one_where_its_nodes_can_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device may run the file, and not the one with every value laid open."""
    opened: list[bytes] = []

    def once(data: bytes, device: str, **more: Any) -> Session:
        if opened:
            raise DeviceError(Code.DEVICE_FALLBACK, "elsewhere: one node")
        opened.append(data)
        return open_session(data, device, **more)

    monkeypatch.setattr(parity, "open_session", once)
    with pytest.raises(ParityError, match="its nodes can't be compared: elsewhere: one node"):
        check_parity(small(), changed(export(small()), scale("blocks.0.convs.0.weight", 2)))


class Replaying:
    """An onnxruntime session of CUDA graphs: a plain run would replay a graph of other buffers."""

    def __init__(self, inference: Any) -> None:
        self._inference = inference

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inference, name)

    def run(self, *_: object) -> None:
        raise AssertionError("a plain run of a session of CUDA graphs")


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The options of each session that a proof opens; those with graphs run on the CPU, through bound buffers alone."""
    asked: list[object] = []

    def opened(data: bytes, device: str, *, options: dict[str, object], **more: Any) -> Session:
        assert device == "cuda"
        asked.append(options)
        session = open_session(data, "cpu", **more)
        if not options.get("enable_cuda_graph"):
            return session
        numbers = np.dtype(np.float32)
        runner = BucketRunner(session.inference, ("input", (3, 12, 12), numbers), ("scores", (4,), numbers), (1, 4))
        return replace(session, inference=Replaying(session.inference), runner=runner)

    monkeypatch.setattr(parity, "open_session", opened)
    return asked


def test_recorded_kernels_are_proved_through_their_buffers(replayed: list[object]) -> None:
    """Of every batch, padded or split, the output that they have."""
    graphs = {"enable_cuda_graph": True}
    report = check_parity(small(), export(small(), outputs="scores,probabilities"), "cuda", options=graphs)
    assert report.outputs == ("scores",)
    assert [case.images for case in report.cases] == [1, 2, 7]
    assert replayed == [graphs]


def test_what_differs_in_recorded_kernels_is_traced_without_them(replayed: list[object]) -> None:
    """At its first node, with the device's other options."""
    options = {"enable_cuda_graph": True, "use_tf32": False}
    with pytest.raises(ParityError, match="first at"):
        check_parity(small(), changed(export(small()), scale("blocks.0.convs.0.weight", 2)), "cuda", options=options)
    assert replayed == [options, {"use_tf32": False}]


def test_the_reference_has_the_numbers_of_the_file() -> None:
    """Weights that float32 rounds are compared as rounded."""
    model = small(SPEC + "dtype: float64\n")
    held = parity._reference(model, np.dtype(np.float32)).state_dict()
    rounded = {name: w.astype(np.float32).astype(np.float64) for name, w in model.weights.items()}
    assert any((rounded[name] != w).any() for name, w in model.weights.items())
    for name, value in rounded.items():
        np.testing.assert_array_equal(held[name].numpy(), value)


def test_numbers_without_a_tolerance_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than compared by a tolerance made for others."""
    monkeypatch.delitem(tolerances.TOLERANCES, ("float32", tolerances.ANY))
    with pytest.raises(InputError, match="computes in float32"):
        check_parity(small(), export(small()))


def test_torch_keeps_its_threads() -> None:
    """The reference runs with the session's threads and gives the caller's back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        check_parity(small(), export(small()))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


X = np.zeros((2, 1), np.float32)
SCORES = np.array([[1.0, 2.0], [4.0, 3.0]])


@pytest.mark.parametrize(
    ("got", "relative", "top1"),
    [
        (SCORES, 0.0, 2),
        (SCORES + np.array([[0.0, 0.4], [0.0, 0.0]]), 0.1, 2),
        (SCORES + np.array([[0.0, 0.0], [0.0, 2.0]]), 0.5, 1),
        (SCORES * np.array([[1, 1], [1, np.nan]]), np.inf, 0),
        (SCORES[:, :1], np.inf, 0),
    ],
)
def test_compare(got: np.ndarray, relative: float, top1: int) -> None:
    """Relative to the largest score; shape and finiteness first; top-1 by the reference's score."""
    case = compare(X, got.astype(np.float32), SCORES, 1e-4)
    assert case.max_relative == pytest.approx(relative, rel=1e-6)
    assert case.top1 == top1


def test_compare_refuses_another_dtype() -> None:
    """A file whose output has another dtype than its input differs, for any values."""
    assert compare(X, SCORES, SCORES, 1e-4) == Case((2, 1), np.inf, np.inf, 0)


def test_equal_scores_have_no_order() -> None:
    """Either of two best classes agrees."""
    tie = np.array([[1.0, 1.0], [1.0, 1.0]])
    near = tie + np.array([[0, 1e-6], [1e-6, 0]])
    assert compare(X, near.astype(np.float32), tie, 1e-4).top1 == 2


def test_every_tolerance_has_its_reason() -> None:
    """Which is printed with the result; a provider's own row comes before that of any."""
    report = check_parity(small(), export(small()))
    row = tolerances.tolerance_of("float32", "CPUExecutionProvider")
    assert f"(allowed 0.0001: {row.why})" in str(report)
    assert report.as_dict()["tolerance_because"] == row.why
    assert all(len(found.why) > 20 for found in tolerances.TOLERANCES.values())
    allowed = [
        tolerances.tolerance_of(p, "any other").allowed for p in ("float64", "float32", "float16", "bfloat16", "int8")
    ]
    assert allowed == sorted(allowed)


def test_a_providers_own_row_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it computes otherwise than the others."""
    own = tolerances.Tolerance(1e-9, "made for this test, and too strict")
    monkeypatch.setitem(tolerances.TOLERANCES, ("float32", "CPUExecutionProvider"), own)
    with pytest.raises(ParityError, match="allowed 1e-09"):
        check_parity(small(), export(small()))
