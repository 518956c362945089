"""Every variant of an export is proved, and a pass, an output or an input gone wrong is caught and placed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

import nin_spec
from nin_spec.diagnostics import ParityError
from nin_spec.exporter import make
from nin_spec.ir import ops
from nin_spec.ir.pixels import Affine
from nin_spec.model import Model, Preprocessing
from nin_spec.passes.layers import layers_of, model_of
from nin_spec.passes.pipeline import PASSES
from nin_spec.passes.temperature import calibrated
from nin_spec.runtime.parity import ParityReport, check_parity
from nin_spec.runtime.sizes import sizes_to_try

SPEC = """\
spec: 1
name: small
input:
  channels: 3
  size: 12
  preprocess: {mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3], color: bgr}
classes: 4
blocks:
  - channels: [6, 5]
    kernel: 3
    padding: 1
    norm: batch
    pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}
    dropout: 0.5
  - convs: [8, {channels: classes, activation: none}]
    kernel: 3
    norm: batch
head: {pool: {kind: avg, kernel: 4}}
"""


def small(text: str = SPEC) -> Model:
    """A model with random weights and running statistics."""
    model = nin_spec.compile(nin_spec.loads(text, "small.yaml")).initialise(1)
    random = np.random.default_rng(0)
    weights = {n: np.abs(w + 0.3 * random.standard_normal(w.shape)).astype(w.dtype) for n, w in model.weights.items()}
    return replace(model, weights=weights)


def export(model: Model, **options: Any) -> bytes:
    """The bytes of the exported file."""
    (data,) = make(model, "onnx", options).files.values()
    return data


def proved(model: Model, **options: Any) -> ParityReport:
    """The report of an export with these options."""
    return check_parity(model, export(model, **options))


OUTPUTS = ("scores", "probabilities", "scores,probabilities,top4", "probabilities,top1")


@pytest.mark.parametrize(("takes", "outputs"), list(itertools.product(["normalised", "pixels"], OUTPUTS)))
@pytest.mark.parametrize("end", ["scores", "softmax", "log_softmax"])
def test_every_variant_is_proved(takes: str, outputs: str, end: str) -> None:
    """Both inputs, every set of outputs, any end of the network, with all passes and with none."""
    model = small(SPEC.replace("kernel: 4}}", f"kernel: 4}}, output: {end}}}"))
    for without in ((), tuple(PASSES)):
        report = proved(model, takes=takes, outputs=outputs, without=without)
        assert report.max_relative < 1e-5
        names = ("scores", "probabilities", *(["top_probabilities", "top_classes"] if "top" in outputs else []))
        assert report.outputs == tuple(n for n in names if n.startswith("top") or n in outputs)


@pytest.mark.parametrize(
    "preprocess",
    [
        "{layout: CHW, dtype: float32}",
        "{scale: 1}",
    ],
)
def test_every_contract_is_proved(preprocess: str) -> None:
    """Layout, number and colours of the raw picture."""
    text = SPEC.replace("{mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3], color: bgr}", preprocess)
    for without in ((), ("fold_input",)):
        assert proved(small(text), takes="pixels", without=without).max_relative < 1e-5


@pytest.mark.parametrize("mean", [(0.5,), (0.1, 0.2, 0.3)])
def test_gray_pictures_of_a_network_of_colours_are_proved(mean: tuple[float, ...]) -> None:
    """A card may say that gray fills each channel, which no spec does."""
    model = small()
    model = replace(model, card=replace(model.card, preprocessing=Preprocessing(mean=mean, color="gray")))
    for without in ((), ("fold_input",)):
        assert proved(model, takes="pixels", without=without).max_relative < 1e-5


def test_pixels_of_an_open_size_and_a_fixed_batch_are_proved() -> None:
    """At other sizes too, and at the one batch."""
    text = SPEC.replace("size: 12", "size: 12\n  open: true").replace("{kind: avg, kernel: 4}", "global_avg")
    assert [c.shape[2:] for c in proved(small(text), takes="pixels").cases] == sizes_to_try(small(text).graph)
    assert {c.shape[0] for c in proved(small(), takes="pixels", batch=3).cases} == {3}


def test_float64_is_proved_to_its_own_tolerance() -> None:
    """Folds are made in the file's numbers: rounded to float32 they would be off by 1e-8."""
    text = "{spec: 1, name: flat, input: {channels: 2, size: 3}, classes: 3, blocks: [{pool: {kind: max, kernel: 1}}],"
    text += " head: {pool: none, dense: [{units: 5, norm: batch}, classes]}}"
    assert proved(small(text), dtype="float64", takes="pixels").tolerance == 1e-9


# ------------------------------------------------------------------ broken on purpose


def after(name: str, spoil: Callable[[Model], Model]) -> Callable[[Model], Model]:
    """A pass with something done to what it makes."""
    right = PASSES[name]
    return lambda model: spoil(right(model))


def scaled(layer: str, array: str, factor: float) -> Callable[[Model], Model]:
    """Multiply one array."""

    def spoil(model: Model) -> Model:
        name = f"{layer}.{array}"
        return replace(model, weights={**model.weights, name: model.weights[name] * np.float32(factor)})

    return spoil


def reshaped(layer: str, **changes: Any) -> Callable[[Model], Model]:
    """Change attributes of one op."""

    def spoil(model: Model) -> Model:
        found = [replace(x, op=replace(x.op, **changes)) if x.node.name == layer else x for x in layers_of(model)]
        return model_of(model, found)

    return spoil


def without_node(kind: type[ops.Op]) -> Callable[[Model], Model]:
    """Leave out every op of a kind."""
    return lambda model: model_of(model, [x for x in layers_of(model) if not isinstance(x.op, kind)])


@pytest.mark.parametrize(
    ("name", "spoil", "node", "line"),
    [
        ("drop_identities", without_node(ops.ReLU), "blocks.0.pool", "    pool: {kind: avg"),
        ("pool_first", reshaped("head.pool", count_include_pad=True, kernel_size=(3, 4)), "head.pool", "head: {pool"),
        ("fold_batch_norm", scaled("blocks.0.convs.1", "bias", 1.1), "blocks.0.norms.1", "    norm: batch"),
        ("fold_batch_norm", scaled("blocks.1.convs.0", "weight", 0.9), "blocks.1.norms.0", "    norm: batch"),
        (
            "fold_temperature",
            scaled("blocks.1.convs.1", "weight", 1.1),
            "temperature",
            None,
        ),  # which no line of a spec declares
        ("fold_input", without_node(Affine), "blocks.0.norms.0", "    norm: batch"),
        ("fold_input", scaled("input.normalise", "bias", 1.1), "blocks.0.norms.0", "    norm: batch"),
        ("explicit_pools", reshaped("blocks.0.pool", count_include_pad=True), "blocks.0.pool", "    pool: {kind: avg"),
        ("global_pools", scaled("blocks.1.convs.1", "weight", 2), "head.pool", "head: {pool"),
    ],
)
def test_a_broken_pass_is_caught_and_placed(
    name: str, spoil: Callable[[Model], Model], node: str, line: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first node of the spec whose value is wrong, whoever computes it now, and at its line."""
    monkeypatch.setitem(PASSES, name, after(name, spoil))
    with pytest.raises(ParityError) as caught:
        proved(calibrated(small(), 2.0) if name == "fold_temperature" else small(), takes="pixels")
    (found,) = caught.value.diagnostics
    assert f"first at {node}" in found.message
    shown = None if found.span is None else found.span.source.line(found.span.line)
    assert shown == line if line is None else str(shown).startswith(line)


def changed(data: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    """A file with something changed in it."""
    proto = onnx.load_from_string(data)
    change(proto)
    written: bytes = proto.SerializeToString()
    return written


def smallest(proto: onnx.ModelProto) -> None:
    """The worst classes for the best."""
    (top,) = (n for n in proto.graph.node if n.op_type == "TopK")
    next(a for a in top.attribute if a.name == "largest").i = 0


def twice(proto: onnx.ModelProto) -> None:
    """A softmax of what is one already."""
    last = next(n for n in proto.graph.node if n.output[0] == "probabilities")
    last.output[0] = "once"
    proto.graph.node.append(onnx.helper.make_node("Softmax", ["once"], ["probabilities"], name="again", axis=1))


def swapped(proto: onnx.ModelProto) -> None:
    """Layout misread: the bytes are turned another way round."""
    node = next(n for n in proto.graph.node if n.op_type == "Transpose")
    node.attribute[0].ints[:] = [0, 3, 2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (smallest, "in top_probabilities .* its classes are not the best"),
        (twice, "in probabilities .*"),
        (swapped, "first at blocks.0.norms.0"),
    ],
)
def test_a_wrong_output_or_input_is_caught(change: Callable[[onnx.ModelProto], None], message: str) -> None:
    """Each output is compared with what the scores of the nn.Module make it."""
    data = export(small(), takes="pixels", outputs="scores,probabilities,top2")
    with pytest.raises(ParityError, match=message):
        check_parity(small(), changed(data, change))
