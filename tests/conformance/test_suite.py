"""The cases: everything that the language has is in one, and a case shows what it is about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from pydantic import BaseModel

from nin_spec.conformance.cases import Case
from nin_spec.conformance.grammar import KEYS, kinds_of
from nin_spec.conformance.suite import suite
from nin_spec.conformance.trial import weights_of
from nin_spec.exporters.onnx_file import OnnxOptions
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.language import parts, schema
from nin_spec.language.load import loads
from nin_spec.network import compile as compile_network
from nin_spec.runtime.tolerances import TOLERANCES
from nin_spec.torch_module import build_module

CASES = suite()
GRAPHS = [(case, compile_network(loads(case.spec)).graph) for case in CASES if case.op != "two in a row"]


# ------------------------------------------------------------------ nothing is left out


def test_every_op_is_in_a_case() -> None:
    """As the ops list themselves."""
    assert {type(node.op) for _, graph in GRAPHS for node in graph} == set(ops.all_ops())


NEVER_FELT = {
    "Spec": {"defaults", "extends", "summary", "dtype", "train", "name", "spec"},
    "Block": {"name", "order", "init", "bias"},
    "Conv": {"init", "kernel", "stride", "padding", "dilation", "norm"},
    "Dense": {"init"},
    "Preprocess": {"resize"},
}
"""Keys that change nothing in a file, and those that are the same as a key elsewhere."""


def written(value: Any, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(model, key) of every key that a part of a spec writes out with another value than the default."""
    for key, given in value.items():
        field = model.model_fields[key]
        if field.is_required() or given != field.default:
            yield model.__name__, key


def keys_of(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every key of a spec that has a value of its own, by the model that it belongs to."""
    yield from written(spec, schema.Spec)
    yield from written(spec["input"], schema.Input)
    yield from written(spec["input"].get("preprocess", {}), schema.Preprocess)
    yield from written(spec.get("head", {}), schema.Head)
    for dense in spec.get("head", {}).get("dense", []):
        yield from written(dense if isinstance(dense, dict) else {"units": dense}, schema.Dense)
    for block in spec["blocks"]:
        yield from written(block, schema.Block)
        if isinstance(block.get("dropout"), dict):
            yield from written(block["dropout"], parts.BlockDropout)
        for conv in block.get("convs", []):
            yield from written(conv, schema.Conv)


MODELS = (schema.Spec, schema.Input, schema.Preprocess, schema.Block, schema.Conv, schema.Head, schema.Dense)


def test_every_key_of_the_language_is_in_a_case() -> None:
    """With a value that is not its default, or it is listed above."""
    found = {pair for case in CASES for pair in keys_of(yaml.safe_load(case.spec))}
    known = {(model.__name__, key) for model in (*MODELS, parts.BlockDropout) for key in model.model_fields}
    listed = {(name, key) for name, keys in NEVER_FELT.items() for key in keys}
    assert known - found - listed == set()
    assert listed <= known


def parts_of(spec: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every value of a key anywhere in a spec, as a mapping with its kind."""
    if isinstance(spec, dict):
        for name, value in spec.items():
            if name == key and value != "none":
                yield value if isinstance(value, dict) else {"kind": value}
            yield from parts_of(value, key)
    elif isinstance(spec, list):
        for value in spec:
            yield from parts_of(value, key)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_every_word_and_attribute_is_in_a_case(key: str, precision: str) -> None:
    """Of activations, norms and pools, in each precision; as the grammar lists them."""
    specs = [yaml.safe_load(case.spec) for case in suite(precision)]
    found = {(part["kind"], name) for spec in specs for part in parts_of(spec, key) for name in part}
    assert {(kind, name) for kind, model in kinds_of(key).items() for name in model.model_fields} <= found


def test_every_value_of_what_a_file_may_take_and_give_is_in_a_case() -> None:
    """Inputs and outputs of a file that the exporter offers."""
    found = {word for case in CASES for value in case.options.values() for word in value.split(",")}
    outputs = {"top2" if word == "top5" else word for word in OnnxOptions.model_fields["outputs"].examples or ()}
    assert outputs | {"pixels"} == found
    assert set(get_args(OnnxOptions.model_fields["takes"].annotation)) == {"normalised", "pixels"}


# ------------------------------------------------------------------ each case shows what it is about


def scores(graph: Graph) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What a network computes in float64 for a batch of noise."""
    module = build_module(graph).double().eval()
    module.load_state_dict({name: torch.from_numpy(w).double() for name, w in weights_of(graph).items()})
    x = np.random.default_rng(0).standard_normal((2, *graph.input.shape))
    with torch.inference_mode():
        found: np.ndarray[Any, np.dtype[np.float64]] = module(torch.from_numpy(x)).numpy()
    return found


def without(graph: Graph, node: Node, field: str, value: Any) -> Graph:
    """The graph with one attribute of a node as it is by default."""
    return graph.rebuilt((n, replace(n.op, **{field: value}) if n is node else n.op) for n in graph)


TRAINED = {(ops.BatchNorm, "momentum"), (ops.PReLU, "init"), (ops.Dropout, "p"), (ops.Dropout2d, "p")}
"""Attributes of training alone."""
SHOWN = [
    (kind, field.name, field.default)
    for kind in ops.all_ops()
    for field in fields(kind)
    if field.default is not MISSING
    and (kind.__name__, field.name) not in {("BatchNorm", "momentum"), ("PReLU", "init")}
    if not issubclass(kind, ops.Dropout | ops.Dropout2d)
]
"""Attributes with a default that a network feels at inference."""


@pytest.mark.parametrize(("kind", "field", "default"), SHOWN, ids=[f"{k.__name__}.{f}" for k, f, _ in SHOWN])
def test_an_attribute_that_is_ignored_is_found(kind: type[ops.Op], field: str, default: Any) -> None:
    """In some case the default in its place gives scores of another shape, or other scores."""
    allowed = TOLERANCES["float32", "any"].allowed
    for _, graph in GRAPHS:
        for node in graph:
            if type(node.op) is not kind or getattr(node.op, field) == default:
                continue
            try:
                other = without(graph, node, field, default)
                known = graph.parameters().keys() == other.parameters().keys()
                right, wrong = scores(graph), scores(other)
            except (ValueError, RuntimeError):
                return  # it does not even fit
            if not known or right.shape != wrong.shape or abs(right - wrong).max() > allowed * abs(right).max():
                return
    pytest.fail(f"{kind.__name__}.{field} may be ignored, and every case is exact")


def test_the_words_are_far_apart() -> None:
    """No activation in the place of another is exact: each is shown behind the same convolution."""
    same = [(case, graph) for case, graph in GRAPHS if case.about.endswith("behind a convolution; 5x4")]
    found = {case.op: scores(graph) for case, graph in same if case.op.startswith("activation ")}
    names = [name for name in found if found[name].shape == found["activation relu"].shape]
    assert len(names) >= 10
    for k, name in enumerate(names):
        for other in names[:k]:
            assert abs(found[name] - found[other]).max() > 1e-3 * abs(found[name]).max(), (name, other)


# ------------------------------------------------------------------ the suite as a whole


def test_every_case_has_a_name_of_its_own() -> None:
    """In every precision, from one process to the next: a run resumes by it."""
    every = [case for precision in ("float32", "float16", "int8") for case in suite(precision)]
    assert len({case.id for case in every}) == len(every)
    assert {case.id for case in CASES} == {case.id for case in suite()}
    assert Case("a", "b", "spec: 1\n").id == "661d4cc356"


def test_no_case_is_there_twice() -> None:
    """Under one row two cases differ in what is said about them."""
    twice = [pair for pair, count in Counter((case.op, case.about) for case in CASES).items() if count > 1]
    assert twice == []


def test_pools_are_of_every_padding_and_rounding() -> None:
    """On no, all and uneven sides, rounded down and up, counted and not, of fixed and open sizes, each with each."""
    found = {
        (type(op).__name__, op.ceil_mode, op.counts_padding, graph.open_size, padding_of(op))
        for _, graph in GRAPHS
        for op in (node.op for node in graph)
        if isinstance(op, ops.Pool2d)
    }
    for kind, ceil, open_size in ((k, c, o) for k in ("MaxPool2d", "AvgPool2d") for c in (0, 1) for o in (0, 1)):
        for counted in (False, True) if kind == "AvgPool2d" else (False,):
            for padding in ("all", "uneven") if counted else ("none", "all", "uneven"):
                assert (kind, bool(ceil), counted, bool(open_size), padding) in found


def padding_of(op: ops.Pool2d) -> str:
    """Padded nowhere, everywhere alike, or differently by side."""
    if op.padding == (0, 0, 0, 0):
        return "none"
    return "all" if op.padding.symmetric else "uneven"


def test_windows_overhang_and_fall_short() -> None:
    """In ceil mode some reach past the map and its padding; else some leave cells over."""
    pools = [(n.op, n.input) for _, graph in GRAPHS for n in graph if isinstance(n.op, ops.Pool2d)]
    ends = {(op.ceil_mode, (op.counts(x)[0] - 1) * op.stride[0] + op.kernel_size[0] - x.shape[1]) for op, x in pools}
    assert any(ceil and end > 0 for ceil, end in ends)
    assert any(not ceil and end < 0 for ceil, end in ends)


def test_a_case_is_a_spec_that_a_person_can_use() -> None:
    """It is read back from its text, and is legal."""
    assert all(json.dumps(yaml.safe_load(case.spec)) for case in CASES)
    assert max(len(case.spec.splitlines()) for case in CASES) < 30
