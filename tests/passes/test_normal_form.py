"""The semantic hash: one for all spellings of a function, another for another function."""

from __future__ import annotations

import itertools

import pytest
from oracle_graphs import golden_names, oracle_graph

import nin_spec
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, TensorType
from nin_spec.passes.normal_form import normal_form, semantic_hash


def chain(*steps: ops.Op, size: tuple[int, ...] = (4, 8, 8), open_size: bool = False, name: str = "chain") -> Graph:
    """A graph of these ops."""
    graph = Graph(name, TensorType(size), open_size=open_size)
    for i, op in enumerate(steps):
        graph = graph.then(f"{name}.{i}", op)
    return graph


SAME = [
    (
        "caffe's ceil mode and keras's same padding",
        chain(ops.AvgPool2d((3, 3), (2, 2), ceil_mode=True)),
        chain(ops.AvgPool2d((3, 3), (2, 2), Padding(0, 1, 0, 1))),
    ),
    ("a fixed window over all and global", chain(ops.AvgPool2d((8, 8), (8, 8))), chain(ops.AdaptiveAvgPool2d())),
    ("dropout or none", chain(ops.ReLU(), ops.Dropout(0.3)), chain(ops.ReLU())),
    ("relu twice", chain(ops.ReLU(), ops.ReLU()), chain(ops.ReLU())),
    ("a leaky relu that does not leak", chain(ops.LeakyReLU(0.0)), chain(ops.ReLU())),
    ("what only training sees", chain(ops.BatchNorm(momentum=0.1)), chain(ops.BatchNorm(momentum=0.9))),
    ("the first slope", chain(ops.PReLU(init=0.25)), chain(ops.PReLU(init=0.1))),
    (
        "end padding that no window reaches",
        chain(ops.Conv2d(2, (2, 2), (2, 2), Padding(0, 1, 0, 1))),
        chain(ops.Conv2d(2, (2, 2), (2, 2))),
    ),
    (
        "a stride that is never taken",
        chain(ops.Conv2d(2, (5, 5), (4, 4))),
        chain(ops.Conv2d(2, (5, 5), (7, 9))),
    ),
    (
        "the dilation of a single tap",
        chain(ops.Conv2d(2, (1, 1), dilation=(3, 3))),
        chain(ops.Conv2d(2, (1, 1))),
    ),
    ("names", chain(ops.ReLU(), name="a"), chain(ops.ReLU(), name="b")),
]


@pytest.mark.parametrize(("what", "a", "b"), SAME, ids=[w for w, _, _ in SAME])
def test_spellings_share_a_hash(what: str, a: Graph, b: Graph) -> None:
    """Two ways to write one function."""
    assert semantic_hash(a) == semantic_hash(b), what


DIFFERENT = [
    chain(ops.ReLU()),
    chain(ops.ReLU(), size=(4, 8, 9)),
    chain(ops.ReLU(), open_size=True),
    chain(ops.LeakyReLU(0.01)),
    chain(ops.GELU(approximate=False)),
    chain(ops.GELU(approximate=True)),
    chain(ops.BatchNorm(1e-5)),
    chain(ops.BatchNorm(1e-4)),
    chain(ops.BatchNorm(1e-5, scale=False)),
    chain(ops.AvgPool2d((3, 3), (2, 2))),
    chain(ops.AvgPool2d((3, 3), (2, 2), ceil_mode=True)),
    chain(ops.AvgPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1))),
    chain(ops.AvgPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1), count_include_pad=True)),
    chain(ops.MaxPool2d((3, 3), (2, 2), ceil_mode=True)),
    chain(ops.MaxPool2d((3, 3), (2, 2), Padding(1, 1, 1, 1))),
    chain(ops.ChannelShuffle(2)),
    chain(ops.Conv2d(4, (1, 1), groups=2)),
    chain(ops.Conv2d(4, (1, 1))),
    chain(ops.Conv2d(4, (1, 1), bias=False)),
]


def test_functions_differ_in_their_hash() -> None:
    """Each of a list of different functions has its own."""
    for a, b in itertools.combinations(DIFFERENT, 2):
        assert semantic_hash(a) != semantic_hash(b), f"{a}{b}"


def test_the_published_networks_fall_into_their_classes() -> None:
    """Of the oracles exactly those share a hash that compute one function."""
    classes: dict[str, set[str]] = {}
    for name in golden_names():
        classes.setdefault(semantic_hash(oracle_graph(name)), set()).add(name)
    shared = sorted(sorted(names) for names in classes.values() if len(names) > 1)
    # oracle_graph makes every network one of float64, so these two differ in their dropout alone.
    assert shared == [
        ["d2l_fashion_mnist", "seed_fashion_mnist", "seed_fashion_mnist_lazy"],
        ["lasagne_cifar10_ceil_pools", "tflearn_cifar10_nin"],
        ["seed_cifar10_at_224", "seed_fixed_average_double"],
    ]


def test_a_spec_and_its_canonical_form_share_a_hash() -> None:
    """Writing every choice out changes nothing."""
    network = nin_spec.compile("nin_cifar")
    assert nin_spec.compile(nin_spec.loads(network.spec.text)).hash == network.hash


def test_the_hash_is_stable() -> None:
    """Files carry it: it must not change from one version to the next."""
    assert nin_spec.compile("nin_cifar").hash == "nin1:375c8db25c9dc1052e13bfcebddf6a45"


def test_the_normal_form_is_its_own() -> None:
    """Normalising twice is normalising once."""
    for name in golden_names():
        form = normal_form(oracle_graph(name))
        assert normal_form(form) == form
