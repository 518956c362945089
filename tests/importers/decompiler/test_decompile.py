"""The compiler run backwards: every spec comes back as one that means the same, and reads well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign_models import chain_of
from goldens import assert_golden
from hypothesis import given
from spec_strategies import Data, specs, to_text

import nin_spec
from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.chain import Chain
from nin_spec.importers.decompiler.decompile import decompile, name_of
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, TensorType
from nin_spec.named import shipped_names

GOLDENS = Path(__file__).parent / "goldens"


@given(specs())
def test_any_spec_comes_back_as_the_same_function(data: Data) -> None:
    """Over the whole grammar: equal hashes, and each array at its place."""
    model = nin_spec.compile(nin_spec.loads(to_text(data))).initialise()
    found = decompile(chain_of(model))
    assert found.network.hash == model.card.hash
    for ours, theirs in zip(found.model.weights.values(), model.weights.values(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_specs_come_back_as_people_write_them(name: str) -> None:
    """A golden each: no default said, no flat list of layers, at most 1.3 times the lines of the original."""
    network = nin_spec.compile(name)
    found = decompile(chain_of(network.initialise()))
    assert found.network.hash == network.hash
    assert_golden(found.text, GOLDENS / f"{name}.yaml")
    shipped = Path(nin_spec.__file__).parent / "specs" / f"{name}.yaml"
    written = [line for line in shipped.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not any(line.startswith("extends") for line in written):
        assert len(found.text.splitlines()) <= 1.3 * len(written)


def test_end_padding_that_completes_a_window_is_ceil_mode() -> None:
    """As exporters write it; where it is more than that, it stays."""
    chain = Chain("net", TensorType((2, 8, 8)))
    chain = chain.then(ops.MaxPool2d((3, 3), (2, 2), Padding(0, 1, 0, 1)), "pool")
    assert "ceil_mode: true" in decompile(_finished(chain)).text
    chain = Chain("net", TensorType((2, 8, 8))).then(ops.MaxPool2d((4, 4), (2, 2), Padding(0, 3, 0, 3)), "pool")
    assert "bottom: 3" in decompile(_finished(chain)).text


def _finished(chain: Chain) -> Chain:
    return chain.then(ops.AdaptiveAvgPool2d(), "gap").then(ops.Flatten(), "flat")


def test_maps_without_scores_are_refused() -> None:
    chain = Chain("net", TensorType((2, 8, 8))).then(ops.ReLU(), "act")
    with pytest.raises(ForeignModelError, match="act: the network outputs maps, not scores"):
        decompile(chain)


@pytest.mark.parametrize(
    ("text", "name"), [("my net.v2", "my_net_v2"), ("9lives", "net_9lives"), ("ünïcode", "n_code"), ("", "net")]
)
def test_any_text_becomes_a_name(text: str, name: str) -> None:
    assert name_of(text) == name
