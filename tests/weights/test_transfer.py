"""Weights under another head: the body whole, the class layer by the names of classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import nin_spec
from nin_spec.diagnostics import Code, WeightsError
from nin_spec.network import Network
from nin_spec.weights import Transfer, labels_of, transfer
from nin_spec.weights.state import Checkpoint, StateDict
from nin_spec.weights.transfer import labels_entry

SPEC = """
spec: 1
name: net
input: {channels: 1, size: 8}
classes: %s
blocks:
  - {name: stem, channels: [4], kernel: 3, padding: 1, norm: batch}
  - {convs: [6, {channels: %s, activation: none}], kernel: 3, padding: 1}
head: {pool: global_avg%s}
"""


def network(classes: str, last: str = "classes", head: str = "") -> Network:
    """Two blocks, the class layer last in the second."""
    return nin_spec.compile(nin_spec.loads(SPEC % (classes, last, head)))


def checkpoint(source: Network, seed: int = 1, prefix: str = "", **changes: Any) -> Checkpoint:
    """A file with a network's weights and labels; `changes` replaces tensors, None removes one."""
    tensors = {prefix + name: array for name, array in source.initialise(seed).weights.items()}
    tensors |= {name.replace("__", "."): array for name, array in changes.items()}
    tensors = {name: array for name, array in tensors.items() if array is not None}
    return Checkpoint("w.safetensors", (StateDict("", tensors),), False, labels_entry(source.card.labels))


def moved(found: Checkpoint, target: Network) -> tuple[Transfer, Mapping[str, Any]]:
    """What is carried to a target, and the target's fresh weights."""
    fresh = target.initialise(2).weights
    return transfer(found, target.graph, fresh, target.card.labels), fresh


def test_rows_go_by_the_names_of_classes() -> None:
    """Into another number of classes in another order; the other rows are those of the seed."""
    source, target = network("[cat, dog, fox]"), network("[owl, fox, cat, elk]")
    found = checkpoint(source)
    made, fresh = moved(found, target)
    theirs, ours, drawn = (x["blocks.1.convs.1.weight"] for x in (found.tensors, made.weights, fresh))
    assert np.array_equal(ours[[1, 2]], theirs[[2, 0]])
    assert np.array_equal(ours[[0, 3]], drawn[[0, 3]])
    assert made.by_class == ("blocks.1.convs.1.weight", "blocks.1.convs.1.bias")
    assert made.classes == ("fox", "cat")
    assert (made.fresh, made.dropped) == ((), ())
    body = [name for name in fresh if not name.startswith("blocks.1.convs.1")]
    assert list(made.carried) == body
    assert all(np.array_equal(made.weights[name], found.tensors[name]) for name in body)


@pytest.mark.parametrize("labels", ["[a, b, c]", "3"])
def test_without_a_common_name_the_class_layer_is_fresh(labels: str) -> None:
    """Also where the shapes meet, and where the file does not name its classes."""
    made, fresh = moved(checkpoint(network(labels)), network("[cat, dog, fox]"))
    assert made.fresh == ("blocks.1.convs.1.weight", "blocks.1.convs.1.bias")
    assert np.array_equal(made.weights["blocks.1.convs.1.weight"], fresh["blocks.1.convs.1.weight"])
    assert made.classes == ()


def test_a_dense_head_replaces_class_maps() -> None:
    """Nothing of the old head fits: it is dropped, and all of the new one is fresh."""
    target = network("[cat, dog, fox]", head=", dense: [5, classes]")
    source = network("[cat, dog, fox]", head=", dense: [7, 5, classes]")
    made, _ = moved(checkpoint(source), target)
    layers = [f"head.dense.{k}.{last}" for k in (0, 1, 2) for last in ("weight", "bias")]
    assert made.dropped == tuple(layers)
    assert made.fresh == tuple(n for n in target.graph.parameters() if n.startswith("head."))


def test_a_prefix_and_another_dtype_are_carried() -> None:
    source, target = network("[cat, dog]"), network("[dog]")
    found = checkpoint(source, prefix="module.", loss__weight=np.ones(3, np.float32))
    made, _ = moved(found, target)
    assert made.dropped == ("loss.weight",)
    assert made.by_class == ("blocks.1.convs.1.weight", "blocks.1.convs.1.bias")


WRONG = [
    ({"blocks__0__convs__0__weight": None}, "it lacks blocks.0.convs.0.weight"),
    ({"blocks__0__convs__0__weight": np.ones((4, 1, 5, 5))}, "has the shape 4x1x5x5, in the spec 4x1x3x3"),
    ({"blocks__0__activations__0__weight": np.ones(4)}, "the network lacks blocks.0.activations.0.weight"),
    ({"fc__weight": np.ones(4)}, "the network lacks fc.weight"),
    ({"blocks__0__norms__0__running_var": -np.ones(4)}, "has a negative variance"),
    ({"blocks__0__convs__0__bias": np.full(4, np.nan)}, "NaN or infinite"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_does_not_fit_below_the_head_is_refused(changes: dict[str, Any], message: str) -> None:
    target = network("[cat, dog]")
    with pytest.raises(WeightsError, match=message) as caught:
        moved(checkpoint(network("[cat]"), **changes), target)
    assert caught.value.diagnostics[0].code is Code.WEIGHTS_MISMATCH


def test_foreign_names_are_refused_with_the_way_to_ours() -> None:
    found = Checkpoint("w.pt", (StateDict("", {"net.0.weight": np.ones((4, 1, 3, 3))}),), True)
    with pytest.raises(WeightsError, match="does not fit below the new head: it lacks") as caught:
        moved(found, network("[cat]"))
    assert caught.value.diagnostics[0].hint == "give its tensors the network's names, those of `nin-spec build -o`"


def test_two_copies_of_the_body_are_ambiguous() -> None:
    source = network("[cat]")
    one = source.initialise(1).weights
    tensors = {f"{prefix}.{name}": array for prefix in ("left", "right") for name, array in one.items()}
    with pytest.raises(WeightsError, match="which one to use is ambiguous"):
        moved(Checkpoint("w.pt", (StateDict("", tensors),), True), source)


@pytest.mark.parametrize("text", ["{", "3", '["a", 1]'])
def test_labels_that_nobody_wrote_so_are_none(text: str) -> None:
    assert labels_of({"nin_spec.labels": text}) == ()
    assert labels_of({"nin_spec.labels": json.dumps(["a", "ö"])}) == ("a", "ö")
