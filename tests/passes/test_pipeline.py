"""All passes together: the same function of any spec, fewer MACs, one name a node, and goldens to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goldens import assert_golden
from hypothesis import given
from model_parts import graph_of, model_of, random_weights, run
from spec_strategies import specs, to_text

import nin_spec
from nin_spec.ir import ops
from nin_spec.model import Model
from nin_spec.passes import PassError
from nin_spec.passes.changes import Saved, explanation, explanation_as_dict
from nin_spec.passes.pipeline import PASSES, in_dtype, rewrite
from nin_spec.passes.pixel_input import pixel_input
from nin_spec.passes.temperature import with_temperature
from nin_spec.pictures import normalise

GOLDENS = Path(__file__).parent / "goldens"
FOLDS = {"fold_batch_norm", "fold_input", "pool_first"}

SPEC = """\
spec: 1
name: showcase
input:
  channels: 3
  size: 12
  preprocess: {mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3], color: bgr}
classes: 4
blocks:
  - channels: [6, 5]
    kernel: 3
    padding: 1
    norm: batch
    pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}
    dropout: 0.5
  - shuffle: 5
    norm: batch
    activation: none
  - convs: [8, {channels: classes, activation: none}]
    kernel: 3
head: {pool: {kind: avg, kernel: 4}, output: softmax}
"""


def showcase() -> Model:
    """A small network with something for every pass."""
    return with_temperature(nin_spec.compile(nin_spec.loads(SPEC, "showcase.yaml")).initialise(1), 0.5)


def macs(model: Model) -> int:
    """Of the whole graph."""
    return sum(n.op.macs(n.input) for n in model.graph)


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_has_a_golden(name: str) -> None:
    """The graph's text before and after, for a person to review."""
    before = pixel_input(showcase())
    after = rewrite(before, [name]).model
    assert after.graph != before.graph
    text = f"# before\n{before.graph}\n# after {name}\n{after.graph}"
    assert_golden(text, GOLDENS / f"{name}.txt")


def test_all_together_have_a_golden() -> None:
    """What is written when nothing is left out."""
    assert_golden(str(rewrite(showcase(), pixels=True).model.graph), GOLDENS / "all.txt")


def double(spec: Any) -> Model:
    """A generated spec's model in float64, with weights that show every mistake."""
    network = nin_spec.compile(nin_spec.loads(to_text(spec)))
    model = with_temperature(in_dtype(network.initialise(0), "float64"), 0.3)
    return replace(model, weights=random_weights(model.graph))


def assert_kept(model: Model, passes: Sequence[str], *, pixels: bool) -> None:
    """The function, to 1e-9 of its largest value; no more MACs; one name a node, one giver a value."""
    made = rewrite(model, passes, pixels=pixels)
    contract, shape = model.card.preprocessing, model.graph.input.shape
    random = np.random.default_rng(3)
    if pixels:
        pictures = random.integers(0, 256, (2, *shape[1:], 1 if contract.color == "gray" else shape[0]), np.uint8)
        x, seen = pictures.transpose(0, 3, 1, 2), normalise(pictures, contract, np.float64, shape[0])
    else:
        x = seen = random.standard_normal((2, *shape))
    wanted = run(model, seen)
    scale = max(np.abs(wanted).max(initial=0), largest_inside(model, seen))
    if np.isfinite(wanted).all():
        assert np.abs(run(made.model, x) - wanted).max(initial=0) <= 1e-9 * scale
    assert all(macs(after) <= macs(before) for _, before, after in made.steps)
    names = [n.name for n in made.model.graph]
    given_ = [n.computes for n in made.model.graph if n.computes]
    assert len(set(names)) == len(names)
    assert len(set(given_)) == len(given_)
    assert set(given_) <= {n.name for n in model.graph}


def largest_inside(model: Model, x: np.ndarray) -> float:
    """The largest value anywhere in the network: what rounding is relative to, where scores cancel."""
    import torch

    from nin_spec.torch_module import build_module

    with torch.inference_mode():
        values = build_module(model).double().trace(torch.from_numpy(x))
        return max((float(v.abs().max()) for _, v in values), default=1.0)


@pytest.mark.filterwarnings("ignore:dropout2d")  # torch's, of flat features, in training alone
@pytest.mark.parametrize("pixels", [False, True])
@given(spec=specs())
def test_any_spec_keeps_its_function(pixels: bool, spec: Any) -> None:  # noqa: FBT001
    """Each pass alone and all together, of prepared numbers and of pixels."""
    model = double(spec)
    for passes in ([], *([name] for name in PASSES), list(PASSES)):
        assert_kept(model, passes, pixels=pixels)


@pytest.mark.parametrize("name", sorted(p.stem for p in Path(nin_spec.__file__).parent.glob("specs/*.yaml")))
def test_shipped_specs_keep_their_values_named(name: str) -> None:
    """On every shipped spec each value that is left has one name of the spec's, and MACs never grow."""
    network = nin_spec.compile(name)
    ones = {key: np.ones(p.shape, network.graph.input.dtype) for key, p in network.graph.parameters().items()}
    made = rewrite(Model(network.graph, ones, network.card), pixels=True)
    given_ = [n.computes for n in made.model.graph if n.computes]
    assert len(set(given_)) == len(given_)
    assert set(given_) <= {n.name for n in network.graph}
    assert all(macs(after) <= macs(before) for _, before, after in made.steps)


def test_what_is_done_is_reported() -> None:
    """A golden: each pass, the lines that it touched, what it saved; and nothing where it found nothing."""
    made = rewrite(showcase(), pixels=True)
    assert_golden(explanation(made.changes) + "\n", GOLDENS / "explanation.txt")
    plain = rewrite(model_of(graph_of(ops.ReLU())))
    assert explanation(plain.changes).splitlines() == [
        *(f"{name}: no changes" for name in PASSES),
        "in all: saves nothing",
    ]


def test_it_is_reported_to_programs_too() -> None:
    """Plain data, the totals being the sum of the passes."""
    made = rewrite(showcase())
    told = explanation_as_dict(made.changes)
    assert [p["name"] for p in told["passes"]] == list(PASSES)
    norm = next(p for p in told["passes"] if p["name"] == "fold_batch_norm")["changes"][0]
    assert norm == {
        "node": "blocks.0.norms.0",
        "what": "BatchNorm folded into blocks.0.convs.0",
        "file": "showcase.yaml",
        "line": 12,
    }
    assert told["saved"]["macs"] == sum(p["saved"]["macs"] for p in told["passes"])
    assert told["saved"]["macs"] == macs(showcase()) - macs(made.model)


def test_a_gain_is_reported_as_a_negative_loss() -> None:
    """A pass that costs memory does not hide it."""
    assert str(Saved(0, -2048, 0)) == "-2.0 KiB of parameters"


def test_a_pass_that_changes_the_result_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With those that ran before it: a defect of ours, never of a spec."""
    monkeypatch.setitem(PASSES, "global_pools", lambda m: replace(m, graph=replace(m.graph, nodes=m.graph.nodes[:-1])))
    with pytest.raises(PassError, match=r"global_pools turned .* after drop_identities, pool_first"):
        rewrite(model_of(graph_of(ops.Flatten())))


def test_passes_are_switched_by_name() -> None:
    """What is not named does not run."""
    kept = rewrite(showcase(), [name for name in PASSES if name not in FOLDS]).model
    assert kept.weights.keys() == showcase().weights.keys()
    assert [step.name for step in rewrite(showcase(), ["pool_first"]).steps] == ["pool_first"]
