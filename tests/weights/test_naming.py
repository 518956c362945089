"""The network's names are found after any prefix, and missing and surplus ones are named."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weight_files import Arrays, assert_same, refused, small, take, values

from nin_spec.diagnostics import Code
from nin_spec.ir.graph import Graph
from nin_spec.named import shipped_names
from nin_spec.network import compile as compile_network
from nin_spec.weights import adopt
from nin_spec.weights.naming import is_average, preferred

PREFIXES = st.one_of(
    st.sampled_from(["", "model.", "net.", "backbone.", "module.", "_orig_mod.", "model.net.", "student/", "m_"]),
    st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=3).map(lambda p: ".".join(p) + "."),
)


@cache
def graph_of(name: str) -> Graph:
    """The graph of a shipped spec."""
    return compile_network(name).graph


def zeros(graph: Graph, prefix: str = "") -> Arrays:
    """A tensor of the right shape for each name, which costs no memory."""
    empty = np.zeros((), np.float32)
    return {prefix + name: np.broadcast_to(empty, p.shape) for name, p in graph.parameters().items()}


@given(st.sampled_from(shipped_names()), PREFIXES, st.booleans(), st.booleans())
def test_any_common_prefix_is_taken_off(name: str, prefix: str, reverse: bool, ordered: bool) -> None:  # noqa: FBT001
    """For any prefix and order; names without it are left out and reported."""
    state = {**zeros(graph_of(name), prefix), **({"criterion.weight": np.ones(10, "f4")} if prefix else {})}
    adoption = take(dict(reversed(state.items())) if reverse else state, graph_of(name), ordered=ordered)
    assert adoption.mapping == tuple((prefix + own, own) for own in graph_of(name).parameters())
    assert adoption.by_name
    said = " ".join(adoption.remarks)
    assert (f"the prefix {prefix!r}" in said and "criterion.weight" in said) == bool(prefix)


@given(st.data(), st.sampled_from(shipped_names()), PREFIXES, st.booleans())
def test_what_is_missing_and_what_is_too_much_is_named(
    data: st.DataObject,
    name: str,
    prefix: str,
    ordered: bool,  # noqa: FBT001
) -> None:
    """Exactly that, and no other tensor; with how many are right."""
    graph = graph_of(name)
    own = list(graph.parameters())
    dropped = data.draw(st.lists(st.sampled_from(own), max_size=len(own) // 3, unique=True), label="dropped")
    shape = data.draw(st.sampled_from([p.shape for p in graph.parameters().values()]), label="shape")
    added = data.draw(st.lists(st.sampled_from(["fc.weight", "fc.bias", "z", "blocks.99.w"]), unique=True, max_size=2))
    if not dropped and not added:
        dropped = own[:1]
    state = {n: a for n, a in zeros(graph, prefix).items() if n[len(prefix) :] not in dropped}
    state |= {prefix + n: np.zeros(shape, "f4") for n in added}
    with refused(Code.WEIGHTS_MISMATCH, "does not fit") as caught:
        take(state, graph, ordered=ordered)
    message = caught.value.diagnostics[0].message
    assert f"{len(own) - len(dropped)} of {len(own)} tensors are right" in message
    words = message.replace(",", " ").replace(";", " ").split()
    for names in (dropped, added):
        wanted = [n for n in map(prefix.__add__, own) if n[len(prefix) :] in names] or [prefix + n for n in names]
        assert {w for w in words if w in wanted} == set(wanted[:10])
    assert [w for w in words if w in state and w.removeprefix(prefix) not in added] == []


def test_a_misspelt_name_gets_a_suggestion() -> None:
    """The nearest of the missing ones."""
    state = values(small())
    state["blocks.0.convs.1.weigth"] = state.pop("blocks.0.convs.1.weight")
    with refused(Code.WEIGHTS_MISMATCH, r"lacks blocks.0.convs.1.weight; .*weigth is not the network's") as caught:
        take(state, small())
    assert "blocks.0.convs.1.weigth may be blocks.0.convs.1.weight" in str(caught.value.diagnostics[0].hint)


def test_a_name_of_another_shape_is_not_suggested() -> None:
    """A bias is not a misspelt weight."""
    state = values(small())
    del state["blocks.0.convs.1.weight"]
    state["blocks.0.convs.1.weigth"] = np.zeros(3, "f4")
    with refused(Code.WEIGHTS_MISMATCH, r"lacks blocks.0.convs.1.weight; .*weigth is not the network's") as caught:
        take(state, small())
    assert "may be" not in str(caught.value.diagnostics[0].hint)


def test_weights_of_another_network_get_one_hint() -> None:
    """The names are alike, but most shapes differ: no name was misspelt."""
    state = {name: np.zeros((7, 7), "f4") for name in values(small())}
    state["blocks.0.convs.1.weigth"] = state.pop("blocks.0.convs.1.weight")
    with refused(Code.WEIGHTS_MISMATCH, "0 of 12 tensors are right") as caught:
        take(state, small())
    assert caught.value.diagnostics[0].hint == "the file is probably of another network: pass the weights of this one"


def test_all_names_and_a_wrong_shape_are_counted() -> None:
    """Behind a prefix too."""
    state = {f"net.{n}": a for n, a in values(small()).items()}
    state["net.head.dense.0.weight"] = np.zeros((8, 4), "f4")
    with refused(Code.WEIGHTS_MISMATCH, r"11 of 12 .*net.head.dense.0.weight has the shape 8x4, in the spec 4x8"):
        take(state, small())


def test_a_name_that_is_ours_is_never_taken_for_another() -> None:
    """A layer of the same shape in the place of a missing one does not match when the other names are ours."""
    state = {n.replace("blocks.0.convs.2", "extra"): a for n, a in values(small()).items()}
    with refused(Code.WEIGHTS_MISMATCH, "lacks blocks.0.convs.2.weight, blocks.0.convs.2.bias; extra.weight"):
        take(state, small())


def test_two_prefixes_of_one_network_are_seen_through() -> None:
    """Blocks and head in two modules of another: each name ends in one of ours."""
    state = {("features." if n.startswith("blocks") else "classifier.") + n: a for n, a in values(small()).items()}
    assert_same(take(state, small(), ordered=False).weights, values(small()))


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [("online_model.", "ema_model.", 0), ("ema.", "", 1), ("weights/", "optimizer/", 0), ("swa.module.", "model.", 1)],
)
def test_of_two_copies_the_weights_themselves_are_taken_and_it_is_reported(first: str, second: str, taken: int) -> None:
    """Not an average of them, and the other is named."""
    copies = (
        {first + n: a for n, a in values(small()).items()},
        {second + n: a * np.float32(2) for n, a in values(small()).items()},
    )
    adoption = take(copies[0] | copies[1], small())
    assert_same(adoption.weights, {n: a * np.float32(1 + taken) for n, a in values(small()).items()})
    said = " ".join(adoption.remarks)
    assert (second, first)[taken] in said


def test_two_copies_that_nothing_tells_apart_are_refused() -> None:
    """Unless they are equal: then it does not matter which."""
    one = {f"left.{n}": a for n, a in values(small()).items()}
    other = {f"right.{n}": a for n, a in values(small()).items()}
    assert_same(take({**one, **other}, small()).weights, values(small()))
    other["right.head.dense.0.bias"] = np.ones(4, "f4")
    with refused(Code.WEIGHTS_MISMATCH, r"which one to use is ambiguous: left\.\*, right\.\*"):
        take({**one, **other}, small())


def test_counters_of_steps_are_not_the_network_s() -> None:
    """What can't be a weight is refused only where the network needs it."""
    state = values(small())
    with refused(Code.WEIGHTS_UNREADABLE, "blocks.0.convs.1.bias holds int8"):
        adopt(state, small(), "file", ordered=True, unusable={"blocks.0.convs.1.bias": "holds int8"})


@pytest.mark.parametrize("label", ["model_ema", "ema_state_dict", "swa_model", "averaged", "shadow_params", "ema."])
def test_averages_are_known_by_their_names(label: str) -> None:
    """And come after the weights themselves."""
    assert is_average(label)
    assert preferred([label, "state_dict"]) == 1


@pytest.mark.parametrize("label", ["model", "schema", "net.", "teacher"])
def test_other_names_are_not_averages(label: str) -> None:
    """`schema` ends in ema."""
    assert not is_average(label)
