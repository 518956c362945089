"""The rules about the end of the network: what fires, what only looks like it, and where it is shown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from lint_specs import SCORES, STEM, codes_of, spec_of, told

from nin_spec.conformance.grammar import spellings
from nin_spec.diagnostics import Severity
from nin_spec.lint import lint
from nin_spec.lint.finding import Subject
from nin_spec.network import compile as compile_network

BARE = "{channels: [classes], kernel: 7, padding: 3}"


def test_a_spec_without_fault_is_left_alone() -> None:
    """What the tests begin with has no findings."""
    assert codes_of(spec_of()) == []


# ------------------------------------------------------------------ NIN901


def test_relu_on_the_class_scores() -> None:
    """The default activation is reported at the width that it follows."""
    assert told(spec_of(STEM, BARE), "NIN901") == [
        (
            7,
            17,
            "classes",
            (
                "blocks.1.convs.0: ReLU on the class scores: they can't be negative, and a score stuck at 0 gets no "
                "gradient"
            ),
        )
    ]


@pytest.mark.parametrize(
    ("kind", "harm"),
    [
        ("leaky_relu", "it weakens"),
        ("prelu", "it weakens"),
        ("gelu", "it weakens"),
        ("sigmoid", "they stay between 0 and 1"),
        ("tanh", "they stay between -1 and 1"),
    ],
)
def test_every_activation_on_the_scores(kind: str, harm: str) -> None:
    """Each is reported where it is written, with what it does to a score."""
    block = f"{{convs: [{{channels: classes, activation: {kind}}}], kernel: 7, padding: 3}}"
    ((line, _, text, message),) = told(spec_of(STEM, block), "NIN901")
    assert (line, text) == (7, kind)
    assert harm in message


@pytest.mark.parametrize("value", [v for v in spellings("activation") if "maxout" not in str(v)], ids=str)
def test_every_word_on_the_scores(value: Any) -> None:
    """Each activation but maxout, which bounds nothing."""
    written = json.dumps(value)
    block = f"{{convs: [{{channels: classes, activation: {written}}}], kernel: 7, padding: 3}}"
    assert "NIN901" in codes_of(spec_of(STEM, block))


@pytest.mark.parametrize(
    ("blocks", "top"),
    [
        ((STEM, SCORES), ""),
        ((STEM, BARE.replace("classes", "64")), "head: {dense: [classes]}\n"),
        ((STEM, BARE.replace("classes", "64")), "head: {dense: [32, classes]}\n"),
        ((STEM, "{convs: [{channels: classes, order: [activation, conv]}], kernel: 7, padding: 3}"), ""),
        ((STEM, "{convs: [{channels: 20, activation: {kind: maxout, pieces: 2}}], kernel: 7, padding: 3}"), ""),
        ((STEM, SCORES), "head: {activation: none, output: softmax}\n"),
    ],
)
def test_free_scores_are_left_alone(blocks: tuple[str, ...], top: str) -> None:
    """No activation, one before the last layer, a dense layer behind it, or a maximum that bounds nothing."""
    assert "NIN901" not in codes_of(spec_of(*blocks, top=top))


def test_activations_of_the_head() -> None:
    """Behind the pool, or behind the last dense layer, it is the same."""
    assert told(spec_of(top="head: {activation: relu}\n"), "NIN901")[0][:3] == (8, 20, "relu")
    dense = "head: {dense: [{units: classes, activation: relu}]}\n"
    assert told(spec_of(STEM, top=dense), "NIN901")[0][:3] == (7, 45, "relu")


def test_norm_between_scores_and_activation() -> None:
    """Conv, norm, ReLU: the ReLU is still on the scores."""
    assert "NIN901" in codes_of(spec_of(STEM, BARE, top="defaults: {norm: batch, bias: false}\n"))


# ------------------------------------------------------------------ NIN909


@pytest.mark.parametrize(("kind", "most"), [("sigmoid", "23%"), ("tanh", "45%")])
def test_scores_squashed_twice(kind: str, most: str) -> None:
    """A bounded activation before the softmax, with the highest probability that ten classes allow; reported once."""
    text = spec_of(top=f"head: {{activation: {kind}, output: softmax}}\n")
    ((line, _, shown, message),) = told(text, "NIN909")
    assert (line, shown) == (8, kind)
    assert f"no probability can exceed {most}" in message
    assert "NIN901" not in codes_of(text)


def test_the_loss_is_a_softmax_too() -> None:
    """A recipe trains on the scores' cross-entropy."""
    train = "train: {dataset: cifar10, epochs: 1, optimizer: adam}\n"
    assert codes_of(spec_of(top=f"head: {{activation: sigmoid}}\n{train}")) == ["NIN909"]
    assert codes_of(spec_of(top=f"head: {{activation: relu, output: softmax}}\n{train}")) == ["NIN901"]


def test_one_softmax_is_left_alone() -> None:
    """`output: softmax` is left out in training, and so is not a second one."""
    train = "train: {dataset: cifar10, epochs: 1, optimizer: adam}\n"
    assert codes_of(spec_of(top=f"head: {{output: softmax}}\n{train}")) == []


def test_the_surest_probability_is_right() -> None:
    """One score at its upper bound, all others at the lower: the share that the message names."""
    scores = [1.0] + [0.0] * 9
    assert f"{math.exp(1) / sum(map(math.exp, scores)):.0%}" == "23%"


# ------------------------------------------------------------------ NIN905


@pytest.mark.parametrize(
    ("blocks", "top", "at", "what"),
    [
        ((STEM, SCORES.replace("}],", "}], dropout: 0.5,")), "", "0.5", "blurs the scores"),
        ((STEM, SCORES.replace("none}", "none, dropout: 0.5}")), "", "0.5", "blurs the scores"),
        ((STEM, SCORES), "head: {dropout: 0.5}\n", "0.5", "drops whole scores"),
        ((STEM, SCORES.replace("}],", "}], dropout: {p: 0.5, by: channel},")), "", "{", "drops whole scores"),
        ((STEM,), "head: {dense: [{units: classes, dropout: 0.5}]}\n", "0.5", "drops whole scores"),
    ],
)
def test_dropout_on_the_scores(blocks: tuple[str, ...], top: str, at: str, what: str) -> None:
    """Behind the last layer with weights, wherever it is said."""
    ((_, _, shown, message),) = told(spec_of(*blocks, top=top), "NIN905")
    assert shown == at
    assert what in message


@pytest.mark.parametrize(
    ("blocks", "top"),
    [
        ((STEM.replace("4}", "4, dropout: 0.5}"), SCORES), ""),
        ((STEM,), "head: {dropout: 0.5, dense: [classes]}\n"),
        ((STEM, SCORES.replace("}],", "}], dropout: 0,")), ""),
    ],
)
def test_dropout_of_features_is_left_alone(blocks: tuple[str, ...], top: str) -> None:
    """Before the class maps, before the last dense layer, or of nothing."""
    assert "NIN905" not in codes_of(spec_of(*blocks, top=top))


# ------------------------------------------------------------------ NIN906


def test_maps_that_shrink_to_one_cell() -> None:
    """The layer at which nothing is left for the global pool."""
    text = spec_of(STEM.replace("4}", "4, pool: {kind: max, kernel: 7}}"), "{convs: [{channels: classes}], kernel: 1}")
    ((line, _, shown, message),) = told(text, "NIN906")
    assert (line, shown) == (6, "{")
    assert message == "blocks.0.pool: the maps shrink to 1x1 here, and head.pool has nothing left to pool"


@pytest.mark.parametrize(
    ("blocks", "top", "size"),
    [
        ((STEM, SCORES), "", 32),
        ((STEM, SCORES, "{pool: global_avg}"), "", 32),
        (("{convs: [{channels: classes, activation: none}], kernel: 1}",), "", 1),
        ((STEM.replace("4}", "4, pool: {kind: max, kernel: 7}}"),), "head: {pool: none, dense: [classes]}\n", 32),
        ((STEM.replace("4}", "4, pool: {kind: max, kernel: [7, 1]}}"), SCORES), "", 32),
    ],
)
def test_maps_that_are_pooled_or_never_were_larger(blocks: tuple[str, ...], top: str, size: int) -> None:
    """Pooled once or twice, of a picture of one pixel, without a global pool, or one row of many cells."""
    assert "NIN906" not in codes_of(spec_of(*blocks, top=top, size=size))


# ------------------------------------------------------------------ NIN907


def test_a_field_smaller_than_the_picture() -> None:
    """A note, at the layer whose cells are pooled, with both sizes."""
    text = spec_of(STEM, SCORES.replace("7, padding: 3", "[7, 1]"))
    ((line, _, shown, message),) = told(text, "NIN907")
    assert (line, shown) == (7, "{")
    assert message == "blocks.1.convs.0: a cell of the last maps sees 32x8 of 32x32 pixels"
    assert [d.severity for d in lint(compile_network("seed_mlpconv_six_blocks"))][-1] is Severity.NOTE


def test_a_field_just_large_enough() -> None:
    """8 + 6 x 4 cells are 32 pixels: enough for 32, not for 33."""
    assert codes_of(spec_of(STEM, SCORES, size=32)) == []
    assert codes_of(spec_of(STEM, SCORES, size=33)) == ["NIN907"]


@pytest.mark.parametrize("head", ["{pool: none, dense: [classes]}", "{pool: {kind: avg, kernel: 2}, dense: [classes]}"])
def test_dense_layers_see_everything(head: str) -> None:
    """What reads every cell at its own place sees the whole picture."""
    assert codes_of(spec_of(STEM, top=f"head: {head}\n")) in ([], ["NIN904"])


def test_fixed_averages_count_as_global() -> None:
    """A window over all of the maps is a global pool."""
    blocks = STEM, SCORES.replace("7, padding: 3", "1")
    assert codes_of(spec_of(*blocks, top="head: {pool: {kind: avg, kernel: 7}}\n")) == ["NIN907"]


@pytest.mark.parametrize("name", ["nin_cifar", "nin_imagenet", "seed_mlpconv_six_blocks"])
def test_the_field_is_that_of_the_shape_table(name: str) -> None:
    """Before each layer, as `nin-spec build` prints it."""
    network = compile_network(name)
    fields = [Subject(network).field(k + 1) for k in range(len(network.graph))]
    assert fields == [row.receptive_field for row in network.table.rows]
