"""The rules about single layers: biases that batch norm takes away, widths between the tiles."""

from __future__ import annotations

import pytest
from lint_specs import SCORES, STEM, codes_of, network_of, spec_of, told

from nin_spec.diagnostics import Severity
from nin_spec.lint import lint

NORMED = "defaults: {norm: batch, init: kaiming_normal}\n"
PLAIN_SCORES = "{convs: [{channels: classes, activation: none, norm: none}], kernel: 7, padding: 3}"


# ------------------------------------------------------------------ NIN908


def test_biases_before_batch_norm() -> None:
    """All that one norm makes useless are one finding, at the norm."""
    text = spec_of("{channels: [64, 64], kernel: 8, stride: 4}", PLAIN_SCORES, top=NORMED)
    assert told(text, "NIN908") == [
        (8, 18, "batch", "blocks.0.convs.0 and blocks.0.convs.1: batch norm cancels the bias")
    ]


def test_many_biases_are_summed_up() -> None:
    """No message grows with the network."""
    text = spec_of("{channels: [64, 64, 64, 64], kernel: 8, stride: 4}", PLAIN_SCORES, top=NORMED)
    assert told(text, "NIN908")[0][3].startswith("4 layers from blocks.0.convs.0 to blocks.0.convs.3:")


def test_a_bias_that_is_written() -> None:
    """Where a layer asks for its bias itself, that is the place."""
    block = "{convs: [{channels: 64, norm: batch, bias: true}], kernel: 8, stride: 4}"
    assert told(spec_of(block, SCORES), "NIN908")[0][2] == "true"


@pytest.mark.parametrize(
    ("blocks", "top"),
    [
        ((STEM, PLAIN_SCORES), "defaults: {norm: batch, bias: false}\n"),
        ((STEM.replace("4}", "4, norm: lrn}"), SCORES), ""),
        ((STEM.replace("4}", "4, norm: batch, order: [conv, activation, norm]}"), SCORES), ""),
        ((STEM.replace("4}", "4, norm: batch, order: [norm, conv, activation]}"), SCORES), ""),
        ((STEM.replace("4}", "4, pool: {kind: avg, kernel: 2, padding: 1, count_include_pad: true}}"), SCORES), ""),
        ((STEM, SCORES.replace("7, padding: 3", "1")), "head: {pool: none, dense: [{units: classes, norm: none}]}\n"),
    ],
)
def test_biases_that_matter(blocks: tuple[str, ...], top: str) -> None:
    """None, another norm, a ReLU between, a norm before."""
    assert "NIN908" not in codes_of(spec_of(*blocks, top=top))


@pytest.mark.parametrize(
    ("blocks", "top"),
    [
        ((STEM, SCORES), "head: {norm: batch}\n"),
        ((STEM,), "head: {dense: [{units: classes, norm: batch}]}\n"),
    ],
)
def test_norms_of_the_head(blocks: tuple[str, ...], top: str) -> None:
    """A constant passes the global average, and the norm behind a dense layer takes its bias, too."""
    assert codes_of(spec_of(*blocks, top=top)).count("NIN908") == 1


def test_a_flatten_of_many_cells_mixes_channels() -> None:
    """The norm then is of features, not of the convolution's channels: the bias is one for many of them."""
    blocks = STEM, "{convs: [{channels: 2, activation: none}], kernel: 7}"
    assert "NIN908" in codes_of(spec_of(*blocks, top="head: {pool: none, norm: batch}\n", classes=2))
    blocks = STEM, "{convs: [{channels: 2, activation: none}], kernel: 6}"
    assert "NIN908" not in codes_of(spec_of(*blocks, top="head: {pool: none, norm: batch}\n", classes=8))


# ------------------------------------------------------------------ NIN910


def test_widths_between_tiles() -> None:
    """A note at the width, with what it costs."""
    text = spec_of(STEM.replace("64", "100"), SCORES)
    assert told(text, "NIN910") == [
        (6, 17, "100", "blocks.0.convs.0: 100 channels cost as much as 104 on tensor cores")
    ]
    assert {d.severity for d in lint(network_of(text))} == {Severity.NOTE}


@pytest.mark.parametrize(
    ("blocks", "classes", "top"),
    [
        ((STEM, SCORES), 10, ""),
        ((STEM, SCORES), 18, ""),
        ((STEM, "{channels: [classes, classes], kernel: 1}", SCORES), 18, ""),
        ((STEM, "{channels: [18], kernel: 1}", SCORES), 18, ""),
        ((STEM.replace("64", "6"), SCORES), 10, ""),
        ((STEM.replace("64", "100"), SCORES), 10, "dtype: float64\n"),
        ((STEM, "{convs: [{channels: 20, activation: {kind: maxout, pieces: 2}}], kernel: 7, padding: 3}"), 10, ""),
    ],
)
def test_widths_that_are_what_they_are(blocks: tuple[str, ...], classes: int, top: str) -> None:
    """Classes, tiny widths, float64, the pieces of the scores' maxout."""
    assert "NIN910" not in codes_of(spec_of(*blocks, classes=classes, top=top))
