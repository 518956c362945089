"""Two spellings, one network; and near misses, two networks."""

from __future__ import annotations

import pytest

import nin_spec
from nin_spec.ir.graph import Graph
from nin_spec.language.load import loads
from nin_spec.lower import lower

START = "spec: 1\nname: a\ninput: {channels: 4, size: 16}\nclasses: 8\n"


def graph(text: str) -> Graph:
    """The graph of a spec, given from `blocks` (or `defaults`) on."""
    return lower(loads(START + text))


def one(block: str) -> str:
    """A single block."""
    return f"blocks: [{{{block}}}]"


SAME = [
    ("a number and a pair", one("channels: [8], kernel: 3"), one("channels: [8], kernel: [3, 3]")),
    (
        "padding by number, pair and side",
        one("channels: [8], kernel: 3, padding: [1, 1]"),
        one("channels: [8], kernel: 3, padding: {top: 1, bottom: 1, left: 1, right: 1}"),
    ),
    ("padding and same", one("channels: [8], kernel: 3, padding: 1"), one("channels: [8], kernel: 3, padding: same")),
    (
        "same, dilated",
        one("channels: [8], kernel: 3, dilation: 2, padding: same"),
        one("channels: [8], kernel: 3, dilation: 2, padding: 2"),
    ),
    (
        "same of an even kernel is uneven",
        one("channels: [8], kernel: 2, padding: same"),
        one("channels: [8], kernel: 2, padding: {bottom: 1, right: 1}"),
    ),
    (
        "same with a stride",
        one("channels: [8], kernel: 3, stride: 2, padding: same"),
        one("channels: [8], kernel: 3, stride: 2, padding: {bottom: 1, right: 1}"),
    ),
    (
        "same where nothing is needed",
        one("channels: [8], kernel: 2, stride: 2, padding: same"),
        one("channels: [8], kernel: 2, stride: 2"),
    ),
    (
        "channels and convs",
        one("channels: [4, 8], kernel: 3"),
        one("convs: [{channels: 4, kernel: 3}, {channels: 8, kernel: 1}]"),
    ),
    ("classes and their number", one("channels: [4, classes], kernel: 3"), one("channels: [4, 8], kernel: 3")),
    (
        "a word and its mapping",
        one("channels: [8], kernel: 1, norm: batch"),
        one("channels: [8], kernel: 1, norm: {kind: batch, eps: 1e-5, momentum: 0.1, affine: true}"),
    ),
    (
        "activations likewise",
        one("channels: [8], kernel: 1, activation: leaky_relu"),
        one("channels: [8], kernel: 1, activation: {kind: leaky_relu, slope: 0.01}"),
    ),
    (
        "dropout by number",
        one("channels: [8], kernel: 1, dropout: 0.25"),
        one("channels: [8], kernel: 1, dropout: {p: 0.25, by: element, before_pool: false}"),
    ),
    (
        "block and defaults",
        "defaults: {norm: batch, bias: false}\n" + one("channels: [8, 8], kernel: 3"),
        one("channels: [8, 8], kernel: 3, norm: batch, bias: false"),
    ),
    (
        "convolution and block",
        one("convs: [{channels: 8, bias: false}, {channels: 8, bias: false}], kernel: 3"),
        one("channels: [8, 8], kernel: 3, bias: false"),
    ),
    (
        "the nearer wins",
        "defaults: {activation: tanh}\n"
        + one("convs: [8, {channels: 8, activation: relu}], kernel: 3, activation: elu"),
        one("convs: [{channels: 8, activation: elu}, 8], kernel: 3"),
    ),
    (
        "default order",
        one("channels: [8], kernel: 1, norm: batch"),
        one("channels: [8], kernel: 1, norm: batch, order: [conv, norm, activation]"),
    ),
    (
        "steps that are not there",
        one("channels: [8], kernel: 1"),
        one("channels: [8], kernel: 1, order: [shuffle, conv, dropout, norm, activation]"),
    ),
    (
        "stride of a pool",
        one("channels: [8], kernel: 1, pool: {kind: max, kernel: 2}"),
        one("channels: [8], kernel: 1, pool: {kind: max, kernel: 2, stride: 2, padding: 0, ceil_mode: false}"),
    ),
    (
        "no padding to count",
        one("channels: [8], kernel: 1, pool: {kind: avg, kernel: 2}"),
        one("channels: [8], kernel: 1, pool: {kind: avg, kernel: 2, count_include_pad: false}"),
    ),
    (
        "the default head",
        one("channels: [8], kernel: 1"),
        one("channels: [8], kernel: 1")
        + "\nhead: {pool: {kind: global_avg}, dense: [], norm: none, activation: none, output: scores}",
    ),
    (
        "dense layers",
        one("channels: [4], kernel: 1") + "\nhead: {dense: [9, classes]}",
        one("channels: [4], kernel: 1")
        + "\nhead: {dense: [{units: 9, activation: relu}, {units: 8, activation: none, bias: true}]}",
    ),
    (
        "no activation",
        one("channels: [8], kernel: 1, activation: none"),
        one("channels: [8], kernel: 1, activation: {kind: none}"),
    ),
    (
        "an explicit nothing",
        one("channels: [8], kernel: 1"),
        one("channels: [8], kernel: 1, pool: none, dropout: null, name: null, stride: null"),
    ),
    (
        "an alias and its value",
        "blocks: [&a {channels: [8], kernel: 1}, *a]",
        "blocks: [{channels: [8], kernel: 1}, {channels: [8], kernel: 1}]",
    ),
    (
        "initialisation",
        one("channels: [8], kernel: 1, init: {kind: gaussian, std: 1}"),
        one("channels: [8], kernel: 1"),
    ),
]


@pytest.mark.parametrize(("one", "other"), [s[1:] for s in SAME], ids=[s[0] for s in SAME])
def test_two_spellings_lower_to_one_graph(one: str, other: str) -> None:
    """The graphs are equal node for node, names included."""
    assert str(graph(one)) == str(graph(other))


DIFFERENT = [
    (
        "rounding",
        one("channels: [8], kernel: 1, pool: {kind: max, kernel: 3, stride: 2}"),
        one("channels: [8], kernel: 1, pool: {kind: max, kernel: 3, stride: 2, ceil_mode: true}"),
    ),
    (
        "padding instead of rounding",
        one("channels: [8], kernel: 1, pool: {kind: max, kernel: 3, stride: 2, padding: 1}"),
        one("channels: [8], kernel: 1, pool: {kind: max, kernel: 3, stride: 2, ceil_mode: true}"),
    ),
    (
        "counting padding",
        one("channels: [8], kernel: 1, pool: {kind: avg, kernel: 3, padding: 1, count_include_pad: true}"),
        one("channels: [8], kernel: 1, pool: {kind: avg, kernel: 3, padding: 1, count_include_pad: false}"),
    ),
    (
        "axes",
        one("channels: [8], kernel: [1, 3], padding: [0, 1]"),
        one("channels: [8], kernel: [3, 1], padding: [1, 0]"),
    ),
    (
        "order",
        one("channels: [8], kernel: 1, norm: batch"),
        one("channels: [8], kernel: 1, norm: batch, order: [conv, activation, norm]"),
    ),
    (
        "eps",
        one("channels: [8], kernel: 1, norm: batch"),
        one("channels: [8], kernel: 1, norm: {kind: batch, eps: 1e-4}"),
    ),
    ("output", one("channels: [8], kernel: 1"), one("channels: [8], kernel: 1") + "\nhead: {output: softmax}"),
]


@pytest.mark.parametrize(("one", "other"), [d[1:] for d in DIFFERENT], ids=[d[0] for d in DIFFERENT])
def test_near_misses_are_two_networks(one: str, other: str) -> None:
    """The graphs differ, and so do the semantic hashes."""
    first, second = (nin_spec.compile(loads(START + text)) for text in (one, other))
    assert str(first.graph) != str(second.graph)
    assert first.hash != second.hash


@pytest.mark.parametrize(("one", "other"), [s[1:] for s in SAME], ids=[s[0] for s in SAME])
def test_two_spellings_have_one_hash(one: str, other: str) -> None:
    """The semantic hash does not see the spelling."""
    assert nin_spec.compile(loads(START + one)).hash == nin_spec.compile(loads(START + other)).hash
