"""Foreign weights are adopted whole, with proof, or not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracle_graphs import hash_weights, oracle_graph, record
from torch import nn
from weight_files import (
    NAMES,
    Arrays,
    assert_same,
    build_record,
    foreign,
    refused,
    saved_pt,
    saved_safetensors,
    small,
    take,
    values,
)

from nin_spec.diagnostics import Code
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import TensorType
from nin_spec.weights import load


@pytest.mark.parametrize("write", [saved_pt, saved_safetensors])
@pytest.mark.parametrize(
    "name", ["pytorch_bn_all_but_last", "keras_cifar10_bn_same", "d2l_fashion_mnist", "torch7_wrn_nin_linear_head"]
)
def test_an_nn_sequential_is_adopted(name: str, write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    """A published network's own state_dict, with names such as 0.weight and 10.bias."""
    oracle = build_record()
    net = oracle.build(record(name))
    oracle.set_parameters(net, "hash")
    write(net.state_dict(), tmp_path / "weights")
    graph = oracle_graph(name)
    adoption = load(tmp_path / "weights", graph)
    assert_same(adoption.weights, hash_weights(graph))
    assert adoption.renamed
    assert any("num_batches_tracked" in r for r in adoption.remarks) == any(
        "norm" in k for k in (layer["op"] for layer in record(name)["layers"])
    )


STYLES = [
    NAMES,
    ("layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.1", "fc"),
    ("net.0.0", "net.0.1", "net.0.2", "net.0.10", "net.0.11", "net.1.0"),
    ("features.0", "features.1", "features.2", "features.9", "features.10", "features.11"),
    ("0", "1", "2", "3", "4", "5"),
]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("names", STYLES, ids=lambda s: s[-1])
def test_names_of_all_styles_are_adopted(names: tuple[str, ...], *, ordered: bool) -> None:
    """In the file's order, or in the natural order of the names when the file has none."""
    state = foreign(small(), names)
    if not ordered:
        state = dict(sorted(state.items()))
    adoption = take(state, small(), ordered=ordered)
    assert_same(adoption.weights, values(small()))
    assert [theirs for theirs, _ in adoption.mapping] == list(foreign(small(), names))
    assert [ours for _, ours in adoption.mapping] == list(small().parameters())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_of_our_own_module_are_seen_through(prefix: str) -> None:
    """DataParallel and torch.compile put a word before every name: order no longer matters then."""
    state = {f"{prefix}{name}": array for name, array in reversed(values(small()).items())}
    assert_same(take(state, small(), ordered=False).weights, values(small()))
    assert_same(take(foreign(small(), prefix=prefix), small()).weights, values(small()))


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_training_checkpoint_is_unwrapped(key: str, tmp_path: Path) -> None:
    """The state_dict inside, and the epoch and the optimiser's state beside it are left alone."""
    state = OrderedDict((n, torch.from_numpy(a)) for n, a in foreign(small()).items())
    checkpoint = {"epoch": 3, key: state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    torch.save(checkpoint, tmp_path / "c.pt")
    assert_same(load(tmp_path / "c.pt", small()).weights, values(small()))


def test_a_live_module_s_parameters_are_adopted(tmp_path: Path) -> None:
    """Tensors that need gradients, saved by torch's old format too."""
    state = {n: nn.Parameter(torch.from_numpy(a)) for n, a in foreign(small()).items()}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(load(tmp_path / "old.pth", small()).weights, values(small()))


def test_layers_made_in_another_order_are_distinguished_by_shape() -> None:
    """Where no two layers are alike, only one match exists."""
    graph = Graph("g", TensorType((3, 8, 8))).then("a", ops.Conv2d(8, (3, 3))).then("b", ops.Conv2d(4, (1, 1)))
    own = values(graph)
    state = {
        "scores.weight": own["b.weight"], "scores.bias": own["b.bias"],
        "stem.bias": own["a.bias"], "stem.weight": own["a.weight"],
    }  # fmt: skip
    for ordered in (True, False):
        adoption = take(state, graph, ordered=ordered)
        assert_same(adoption.weights, own)
        assert adoption.mapping[0] == ("stem.weight", "a.weight")


def test_a_shuffled_state_dict_falls_back_on_its_names() -> None:
    """When the file's order does not fit, the natural order of the names may."""
    names = ("conv1", "conv2", "conv3", "conv4", "conv10", "conv11")
    state = foreign(small(), names)
    shuffled = {name: state[name] for name in sorted(state, reverse=True)}
    assert_same(take(shuffled, small()).weights, values(small()))


def test_a_file_s_order_is_believed_where_it_has_one() -> None:
    """Two layers that only order tells apart: a state_dict's order counts, not its names."""
    names = ("conv1", "norm", "act", "zebra", "ape", "scores")
    assert_same(take(foreign(small(), names), small()).weights, values(small()))


def test_what_nothing_tells_apart_is_refused() -> None:
    """A safetensors file has no order, and `ape` and `zebra` say nothing about theirs."""
    names = ("conv1", "norm", "prelu", "u1", "v1", "w")
    with refused(Code.WEIGHTS_MISMATCH, "u1 and v1 could be exchanged"):
        take(foreign(small(), names), small(), ordered=False)


# ------------------------------------------------------------------ refusals


def edited(**changes: Any) -> Arrays:
    """The foreign state with some tensors replaced, or left out where None; `__` stands for the dot."""
    state: dict[str, Any] = foreign(small())
    for name, array in changes.items():
        state[name.replace("__", ".")] = array
    return {name: array for name, array in state.items() if array is not None}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (edited(mix1__bias=None), r"has 11 tensors in 6 layers, the network 12 in 6.*blocks.0.convs.[12].*mix1"),
        (edited(mix1__weight=None, mix1__bias=None), r"has 10 tensors in 5 layers, the network 12 in 6"),
        (edited(extra__weight=np.zeros((4, 4), "f4")), r"has 13 tensors in 7 layers, the network 12 in 6"),
        (edited(scores__weight=np.zeros((8, 4), "f4")), r"head.dense.0 has weight 4x8.*scores has weight 8x4"),
        (edited(scores__weight=np.zeros((4, 8, 1, 1), "f4")), r"weight 4x8.*weight 4x8x1x1"),
        (edited(mix2__weight=np.zeros((8, 8), "f4")), r"blocks.0.convs.2 has weight 8x8x1x1.*mix2 has weight 8x8\b"),
        (edited(mix1__bias=None, mix1__beta=np.zeros(8, "f4")), r"blocks.0.convs.[12] has.*bias.*mix1 has.*beta"),
        (edited(norm__running_var=None, norm__scale=np.zeros(8, "f4")), r"blocks.0.norms.0 has.*norm has"),
        ({}, "has 0 tensors"),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_anything_that_does_not_fit_is_refused(state: Arrays, match: str, *, ordered: bool) -> None:
    """With the first layer that does not, both shapes and the counts."""
    with refused(Code.WEIGHTS_MISMATCH, match):
        take(state, small(), ordered=ordered)


def test_our_names_with_another_shape_are_refused() -> None:
    """The tensor is named with both shapes."""
    state = {**values(small()), "head.dense.0.weight": np.zeros((8, 4), "f4")}
    with refused(Code.WEIGHTS_MISMATCH, "head.dense.0.weight has the shape 8x4, in the spec 4x8"):
        take(state, small())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    """A diverged training is found here, not in production."""
    state = foreign(small())
    state["mix2.bias"][3] = bad
    with refused(Code.WEIGHTS_MISMATCH, r"mix2.bias has values that are NaN or infinite"):
        take(state, small())


def test_numbers_beyond_the_network_s_dtype_are_refused() -> None:
    """A float64 tensor of 1e300 does not become infinite in float32."""
    state = {n: a.astype(np.float64) for n, a in foreign(small()).items()}
    state["mix2.bias"][3] = 1e300
    with refused(Code.WEIGHTS_MISMATCH, "mix2.bias has .*float32"):
        take(state, small())


def test_a_negative_variance_is_refused() -> None:
    """It would make every output NaN."""
    state = foreign(small())
    state["norm.running_var"][0] = -1
    with refused(Code.WEIGHTS_MISMATCH, r"norm.running_var.*negative"):
        take(state, small())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("write", [saved_pt, saved_safetensors])
def test_other_precisions_are_converted_and_said(
    dtype: torch.dtype, write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    """To the graph's dtype, with the numbers that the file has."""
    state = {n: torch.from_numpy(a).to(dtype) for n, a in foreign(small()).items()}
    names = ("l0", "l1", "l2", "l3", "l4", "l5")
    state = {
        n.replace(old, new): t for n, t in state.items() for old, new in zip(NAMES, names, strict=True) if old in n
    }
    write(state, tmp_path / "w")
    adoption = load(tmp_path / "w", small())
    assert_same(
        adoption.weights, dict(zip(small().parameters(), (t.float().numpy() for t in state.values()), strict=True))
    )
    assert any(str(dtype).removeprefix("torch.") in r and "float32" in r for r in adoption.remarks)


def test_a_float64_network_keeps_float64(tmp_path: Path) -> None:
    """Not a bit is lost on the way through a checkpoint."""
    graph = small("float64")
    torch.save({n: torch.from_numpy(a) for n, a in foreign(graph).items()}, tmp_path / "w.pt")
    assert_same(load(tmp_path / "w.pt", graph).weights, values(graph))


@pytest.mark.parametrize("write", [saved_pt, saved_safetensors])
def test_integers_are_refused(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    """A quantised checkpoint is not weights."""
    state = {n: torch.from_numpy(a) for n, a in foreign(small()).items()}
    write({**state, "mix1.weight": torch.zeros(8, 8, 1, 1, dtype=torch.int8)}, tmp_path / "w")
    with refused(Code.WEIGHTS_UNREADABLE, r"mix1.weight has dtype .*[iI](nt)?8"):
        load(tmp_path / "w", small())
