"""Fixes: the text that they change, to the byte, and those that are not to be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lint_specs import SCORES, STEM, network_of, spec_of

from nin_spec.diagnostics import Source, Span
from nin_spec.ir import ops
from nin_spec.language.document import decode
from nin_spec.language.load import load_source
from nin_spec.lint.edits import Editor, Unfixable
from nin_spec.lint.finding import Finding
from nin_spec.lint.fixes import FIXES, Fix, is_safe
from nin_spec.lint.fixing import fix, holds
from nin_spec.model import Model
from nin_spec.network import Network
from nin_spec.network import compile as compile_network
from nin_spec.torch_module import build_module

BARE = "{channels: [classes], kernel: 7, padding: 3}"
PLAIN = "{convs: [{channels: classes, activation: none, norm: none}], kernel: 7, padding: 3}"


def only(*codes: str) -> Callable[[Finding], bool]:
    """Wants the findings of these codes."""
    return lambda finding: finding.code.code in codes


def fixed(text: str, *codes: str) -> str:
    """The text with the findings of some codes fixed."""
    return fix(network_of(text), only(*codes)).text


# ------------------------------------------------------------------ NIN901, NIN909


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BARE, "{convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}"),
        (
            "{channels: [16,  classes], kernel: 7, padding: 3}   # b",
            "{convs: [16,  {channels: classes, activation: none}], kernel: 7, padding: 3}   # b",
        ),
        ("{convs: [classes], kernel: 7}", "{convs: [{channels: classes, activation: none}], kernel: 7}"),
        (
            "{convs: [{channels: classes, bias: false}], kernel: 7}",
            "{convs: [{channels: classes, bias: false, activation: none}], kernel: 7}",
        ),
        (
            "{convs: [{channels: classes, activation: tanh}], kernel: 7}",
            "{convs: [{channels: classes, activation: none}], kernel: 7}",
        ),
        (
            "{convs: [{init: {kind: gaussian, std: 1}, channels: classes}], kernel: 7}",
            "{convs: [{init: {kind: gaussian, std: 1}, channels: classes, activation: none}], kernel: 7}",
        ),
        (
            "convs:\n      - channels: classes   # maps\n        kernel: 7\n    bias: false",
            "convs:\n      - channels: classes   # maps\n        kernel: 7\n        activation: none\n    bias: false",
        ),
    ],
)
def test_scores_without_activation(before: str, after: str) -> None:
    """Every spelling of the last convolution; nothing else moves."""
    assert fixed(spec_of(STEM, before), "NIN901") == spec_of(STEM, after)


def test_activations_of_the_head_are_put_right() -> None:
    """There the word is replaced."""
    assert fixed(spec_of(top="head: {activation: relu}\n"), "NIN901") == spec_of(top="head: {activation: none}\n")
    before, after = ("head: {activation: %s, output: softmax}  # s\n" % word for word in ("tanh", "none"))  # noqa: UP031
    assert fixed(spec_of(top=before), "NIN909") == spec_of(top=after)
    before = "head:\n  dense: [{units: classes, activation: relu}]\n"
    assert fixed(spec_of(STEM, top=before), "NIN901") == spec_of(STEM, top=before.replace("relu", "none"))


# ------------------------------------------------------------------ NIN902, NIN904


def test_padding_of_points_goes() -> None:
    """The number becomes 0."""
    block = "{convs: [64, {channels: 64, padding: 1}], kernel: 8, stride: 4}"
    assert fixed(spec_of(block, SCORES), "NIN902") == spec_of(block.replace("padding: 1", "padding: 0"), SCORES)
    block = "{channels: [64], kernel: 1, padding: 2}"
    assert fixed(spec_of(block, SCORES), "NIN902") == spec_of(block.replace("padding: 2", "padding: 0"), SCORES)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pool: {kind: max, kernel: 2}", "pool: {kind: max, kernel: 2, ceil_mode: true}"),
        ("pool: {kind: max, ceil_mode: false, kernel: 2}", "pool: {kind: max, ceil_mode: true, kernel: 2}"),
        ("pool: {kernel: [2, 2], kind: max}", "pool: {kernel: [2, 2], kind: max, ceil_mode: true}"),
        ("pool: {kind: max, kernel: [2, 2]}", "pool: {kind: max, ceil_mode: true, kernel: [2, 2]}"),
        (
            "pool:\n      kind: max  # a\n      kernel: 2    # b\n    dropout: 0.5",
            "pool:\n      kind: max  # a\n      kernel: 2    # b\n      ceil_mode: true\n    dropout: 0.5",
        ),
        (
            "pool:\n      kernel:\n        - 2\n        - 2\n      kind: max",
            "pool:\n      kernel:\n        - 2\n        - 2\n      kind: max\n      ceil_mode: true",
        ),
    ],
)
def test_pools_round_up(before: str, after: str) -> None:
    """In flow and in block style, said or not said before."""
    stem = "channels: [64]\n    kernel: 8\n    stride: 4\n    "
    assert fixed(spec_of(stem + before, SCORES), "NIN904") == spec_of(stem + after, SCORES)


def test_line_ends_and_a_missing_last_one_stay() -> None:
    """A file with CR LF stays one, the new line included; one without an end at the end gets none."""
    text = spec_of("pool:\n      kind: max\n      kernel: 3", SCORES).replace("\n", "\r\n")
    assert fixed(text, "NIN904") == text.replace("kernel: 3\r\n", "kernel: 3\r\n      ceil_mode: true\r\n", 1)
    text = spec_of(STEM, SCORES, size=40).rstrip() + "  # nin: ignore[NIN901]"
    assert fixed(text, "NIN990") == spec_of(STEM, SCORES, size=40).rstrip()


# ------------------------------------------------------------------ NIN908


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("defaults: {norm: batch}\n", "defaults: {norm: batch, bias: false}\n"),
        ("defaults: {bias: true, norm: batch}\n", "defaults: {bias: false, norm: batch}\n"),
        (
            "defaults: {norm: {kind: batch, eps: 1e-3}}\n",
            "defaults: {bias: false, norm: {kind: batch, eps: 1e-3}}\n",
        ),
        (
            "defaults:\n  norm: batch   # all\n  # of init\n  init: kaiming_normal\n",
            "defaults:\n  norm: batch   # all\n  bias: false\n  # of init\n  init: kaiming_normal\n",
        ),
        (
            "defaults:\n  norm:\n    kind: batch\n    eps: 1e-3\n",
            "defaults:\n  norm:\n    kind: batch\n    eps: 1e-3\n  bias: false\n",
        ),
    ],
)
def test_biases_leave_beside_the_norm(before: str, after: str) -> None:
    """And the class maps, which have no norm, keep theirs."""
    scores = PLAIN.replace("norm: none}", "norm: none, bias: true}")
    assert fixed(spec_of(STEM, PLAIN, top=before), "NIN908") == spec_of(STEM, scores, top=after)


def test_biases_that_no_norm_follows_are_kept() -> None:
    """A layer with the same norm before it says its bias itself."""
    order = "order: [norm, activation, conv]"
    text = spec_of(STEM, f"{{convs: [{{channels: classes, {order}}}], kernel: 7}}", top="defaults: {norm: batch}\n")
    after = text.replace("order:", "bias: true, order:").replace("norm: batch", "norm: batch, bias: false")
    assert fixed(text, "NIN908") == after


def test_biases_of_one_block_or_layer() -> None:
    """The nearest scope that says the norm is the one that says the bias."""
    block = STEM.replace("4}", "4, norm: batch}")
    assert fixed(spec_of(block, SCORES), "NIN908") == spec_of(block.replace("batch", "batch, bias: false"), SCORES)
    block = "{convs: [{channels: 64, norm: batch, bias: true}], kernel: 8, stride: 4}"
    assert fixed(spec_of(block, SCORES), "NIN908") == spec_of(block.replace("true", "false"), SCORES)


def test_biases_before_the_norm_of_the_head() -> None:
    """A layer that was only a width is written out."""
    text = spec_of(STEM, top="head: {dense: [classes], norm: batch}\n")
    expected = spec_of(STEM, top="head: {dense: [{units: classes, bias: false}], norm: batch}\n")
    assert fixed(text, "NIN908") == expected


def same_scores(before: Network, after: Network) -> None:
    """With the biases taken off the running means, both modules compute the same in evaluation and training."""
    old = before.initialise(seed=1)
    rng = np.random.default_rng(0)
    moved = {k: rng.normal(size=v.shape) * 0.1 for k, v in old.weights.items() if "running_var" not in k}
    weights: dict[str, Any] = {k: v + moved.get(k, 0) for k, v in old.weights.items()}
    kept = {name: weights[name] for name in after.graph.parameters()}
    for name, bias in weights.items():
        mean = name.replace(".convs.", ".norms.").removesuffix("bias") + "running_mean"
        if name not in kept and name.endswith(".bias"):
            kept[mean] = kept[mean] - bias
    first = build_module(Model(before.graph, weights, before.card))
    second = build_module(Model(after.graph, kept, after.card))
    x = torch.randn(8, *before.graph.input.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for train in (False, True):
        with torch.inference_mode():
            one, other = first.train(train)(x), second.train(train)(x)
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


def test_without_the_biases_the_function_is_the_same() -> None:
    """What the fix promises, computed."""
    text = spec_of("{channels: [8, 8], kernel: 8, stride: 4}", PLAIN, top="defaults: {norm: batch}\ndtype: float64\n")
    before = network_of(text)
    after = fix(before, only("NIN908")).network
    assert [n.op.bias for n in after.graph if isinstance(n.op, ops.Conv2d)] == [False, False, True]
    same_scores(before, after)


# ------------------------------------------------------------------ NIN990


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{SCORES}  # nin: ignore[NIN901] why", SCORES),
        (f"{SCORES}  # maps  # nin: ignore[NIN901]", f"{SCORES}  # maps"),
        (f"{SCORES}\n  # nin: ignore[NIN901]\n  # more", f"{SCORES}\n  # more"),
    ],
)
def test_a_comment_leaves(before: str, after: str) -> None:
    """With its reason; a line of its own leaves whole, another comment stays."""
    assert fixed(spec_of(STEM, before), "NIN990") == spec_of(STEM, after)


@pytest.mark.parametrize(
    ("codes", "left"),
    [
        ("NIN902, NIN901", "NIN901"),
        ("NIN901, NIN902", "NIN901"),
        ("NIN902,NIN901,NIN903", "NIN901"),
        ("NIN902 NIN901", "NIN901"),
    ],
)
def test_a_code_leaves_its_comment(codes: str, left: str) -> None:
    """Those that silence something stay, with the reason."""
    before, after = (spec_of(STEM, f"{BARE}  # nin: ignore[{c}] why") for c in (codes, left))
    assert fixed(before, "NIN990") == after


def test_two_comments_alike() -> None:
    """Each goes, though they read the same."""
    before = spec_of(f"{STEM}  # nin: ignore[NIN902]", f"{SCORES}  # nin: ignore[NIN902]")
    assert fixed(before, "NIN990") == spec_of()


# ------------------------------------------------------------------ what is not fixed


def test_only_the_rules_that_keep_the_function_are_safe() -> None:
    """A bias that is taken away again, and comments."""
    assert {c.code for c in FIXES if is_safe(c)} == {"NIN908", "NIN990"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (spec_of(STEM, "{convs: [&a {channels: classes}, *a], kernel: 1}"), "NIN901"),
        (spec_of(STEM, f"&b {BARE}", "*b"), "NIN901"),
        (spec_of("{pool: &p {kind: max, kernel: 3}}", "{pool: *p}", SCORES, size=31), "NIN904"),
        (spec_of(STEM, "{convs: [{channels: classes, activation: {kind: elu}}], kernel: 7, padding: 3}"), "NIN901"),
        (spec_of("{channels: [64], kernel: 1, padding: [1, 1]}", SCORES), "NIN902"),
        (
            spec_of(
                "{channels: [64], kernel: 8, stride: 4, pool: {kind: max, kernel: 2}}",
                "{convs: [{channels: classes, activation: none}], kernel: 1}",
                top="head: {pool: {kind: avg, kernel: 3, stride: 1}}\n",
            ),
            "NIN904",
        ),
        (
            spec_of(
                STEM,
                PLAIN,
                top="defaults: {norm: batch}\ntrain: {dataset: cifar10, epochs: 1, optimizer: adam, "
                "lr_multipliers: {blocks.0.convs.0.bias: 2}}\n",
            ),
            "NIN908",
        ),
    ],
    ids=[
        "alias",
        "a block used twice",
        "alias of a pool",
        "a mapping",
        "a pair",
        "does not fit any more",
        "the recipe names it",
    ],
)
def test_a_fix_that_would_break_something_is_not_made(text: str, code: str) -> None:
    """The finding is there, and the text stays."""
    network = network_of(text)
    assert fix(network, only(code)).text == text


def test_a_promise_is_of_layers_and_of_values() -> None:
    """Another layer, or another value than those that may change, breaks it."""
    before = network_of(spec_of())
    initialised = network_of(spec_of(top="defaults: {init: kaiming_normal}\n"))
    assert holds(before, before, Fix(()))
    assert not holds(before, initialised, Fix(()))
    assert holds(before, initialised, Fix((), keys=frozenset({"init"})))
    wider = network_of(spec_of(STEM.replace("64", "32"), SCORES))
    assert not holds(before, wider, Fix((), keys=frozenset({"channels"})))


def test_an_editor_has_one_text() -> None:
    """A position in another source is refused, for any text at that position in this one."""
    ours, theirs = Source("a.yaml", "spec: 1\n"), Source("b.yaml", "spec: 1\n")
    assert Editor(ours).replace(Span(ours, 1, 7), "2").text == "2"
    with pytest.raises(Unfixable):
        Editor(ours).replace(Span(theirs, 1, 7), "2")


def test_what_another_file_says_is_not_fixed(tmp_path: Path) -> None:
    """A fix changes the file given, and only where that file says it."""
    base = spec_of(STEM.replace("4}", "4, pool: {kind: max, kernel: 2}, name: stem}"), BARE)
    (tmp_path / "base.yaml").write_text(base)
    over = tmp_path / "over.yaml"
    over.write_text("spec: 1\nextends: base.yaml\nname: over\nblocks:\n  stem: {dropout: 0.5}\n")
    assert fix(compile_network(over), lambda _: True).done == ()
    over.write_text(over.read_text().replace("dropout: 0.5", "pool: {stride: 2}"))
    changed = fix(compile_network(over), lambda _: True)
    assert [f.code.code for f in changed.done] == ["NIN904"]
    assert "stem: {pool: {stride: 2, ceil_mode: true}}" in changed.text
    assert (tmp_path / "base.yaml").read_text() == base


def test_the_diff_is_a_diff() -> None:
    """As `diff -u` shows it; nothing for nothing."""
    changed = fix(network_of(spec_of(STEM, BARE)), only("NIN901"))
    assert changed.diff().splitlines() == [
        "--- a.yaml",
        "+++ a.yaml",
        "@@ -4,4 +4,4 @@",
        " classes: 10",
        " blocks:",
        "   - {channels: [64], kernel: 8, stride: 4}",
        "-  - {channels: [classes], kernel: 7, padding: 3}",
        "+  - {convs: [{channels: classes, activation: none}], kernel: 7, padding: 3}",
    ]
    assert fix(network_of(spec_of()), lambda _: True).diff() == ""
    text = decode("a.yaml", (spec_of(STEM, BARE).rstrip()).encode())
    assert fix(compile_network(load_source(text)), only("NIN901")).diff().endswith("\\ No newline at end of file\n")
