"""Files in which a fusion of activations could drop one are found; all that could is found, conservatively."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from nin_spec.runtime.fusions import FUSION, PAD_FUSION, harmful

HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[1,2,4,4] input) => (float[1,2,4,4] scores)'
HEAD += "<float[2,2,1,1] w = {1, 0, 0, 1}, float two = {2}>"


def file(body: str) -> bytes:
    """A file of these nodes."""
    data: bytes = onnx.parser.parse_model(f"{HEAD} {{ {body} }}").SerializeToString()
    return data


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv (input, w) b = Relu (a) scores = Tanh (b)",
        "a = Conv (input, w) b = Relu (a) c = Dropout (b) scores = Elu (c)",
        "a = Conv (input, w) b = Sigmoid (a) c = Mul (a, b) scores = Relu (c)",
        "a = Conv (input, w) b = Relu (a) c = Mul (b, two) scores = Clip (c)",
        "a = Relu (input) scores = LeakyRelu (a)",
    ],
)
def test_two_activations_in_a_row(body: str, tmp_path: Path) -> None:
    """With what optimisations remove between them; from bytes and from a path."""
    (tmp_path / "m.onnx").write_bytes(file(body))
    assert harmful(file(body)) == harmful(str(tmp_path / "m.onnx")) == [FUSION]


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv (input, w) scores = Relu (a)",
        "a = Conv (input, w) b = Relu (a) c = Conv (b, w) scores = Tanh (c)",
        "a = Conv (input, w) b = Relu (a) c = MaxPool <kernel_shape = [1, 1]> (b) scores = Tanh (c)",
        "a = Conv (input, w) b = Sigmoid (a) scores = Mul (a, b)",
        "a = Conv (input, w) b = Relu (a) c = Max (b, b) scores = Tanh (c)",
    ],
)
def test_activations_that_nothing_can_bring_together(body: str) -> None:
    """A layer lies between them, or what the exporter puts there."""
    assert harmful(file(body)) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("a = Pad (input, pads) scores = Conv (a, w)", [PAD_FUSION]),
        ("a = Pad (input, pads) b = Identity (a) scores = Conv (b, w)", [PAD_FUSION]),
        ("a = Pad (input, pads) b = Max (a, a) scores = Conv (b, w)", []),
        ("a = Pad (input, pads) scores = MaxPool <kernel_shape = [1, 1]> (a)", []),
    ],
)
def test_padding_before_a_convolution(body: str, found: list[str]) -> None:
    """It must not become the convolution's own; the exporter puts a Max between them."""
    head = HEAD.removesuffix(">") + ", int64[8] pads = {0, 0, 0, 0, 0, 0, 0, 1}>"
    assert harmful(onnx.parser.parse_model(f"{head} {{ {body} }}").SerializeToString()) == found
