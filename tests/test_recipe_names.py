"""A recipe names parameters that exist: by their place, by their block's name, or by pattern."""

from __future__ import annotations

import pytest

import nin_spec
from nin_spec.diagnostics import SpecError
from nin_spec.recipe_names import suggestion


@pytest.mark.parametrize("name", ["blocks.2.convs.2.weight", "mlpconv3.convs.2.weight", "*.bias", "*.nothing"])
def test_names_that_exist(name: str) -> None:
    """Patterns may match nothing, since a spec without biases keeps `*.bias`."""
    nin_spec.compile("nin_cifar", [f'train.lr_multipliers={{"{name}": 2}}', f'train.no_decay=["{name}"]'])


@pytest.mark.parametrize("key", ["lr_multipliers={{{}: 2}}", "no_decay=[{}]"])
@pytest.mark.parametrize("name", ["blocks.9.convs.2.weight", "mlpconv3.convs.2.gain", "convs9"])
def test_names_that_do_not(key: str, name: str) -> None:
    """A name that nothing has is an error at its place, with the nearest right one."""
    with pytest.raises(SpecError, match=r"--set:1:\d+: error NIN304: train\..* the network has no parameter") as caught:
        nin_spec.compile("nin_cifar", ["train." + key.format(f'"{name}"')])
    assert caught.value.diagnostics[0].hint


@pytest.mark.parametrize("name", ["mlpconv1", "blocks.1", "mlpconv3.convs.0", "head.nothing.*", "blocks"])
def test_a_layer_or_block_may_be_frozen_by_its_name(name: str) -> None:
    nin_spec.compile("nin_cifar", [f'train.freeze=["{name}"]'])


@pytest.mark.parametrize("name", ["mlpconv9", "blocks.1.pool", "mlpconv", "head.dense"])
def test_a_layer_without_weights_can_not(name: str) -> None:
    with pytest.raises(SpecError, match=r"NIN304: train\.freeze: the network has no parameter"):
        nin_spec.compile("nin_cifar", [f'train.freeze=["{name}"]'])


def test_an_inserted_block_moves_no_multiplier() -> None:
    """The shipped recipes name blocks, so that a block put before the last changes nothing for it."""
    blocks = nin_spec.load("nin_cifar").data["blocks"]
    extra = {**blocks[1], "name": "extra", "pool": "none"}
    text = nin_spec.load("nin_cifar").text
    data = nin_spec.loads(text).data
    data["blocks"] = [*blocks[:2], extra, blocks[2]]
    from nin_spec.language.emit import emit

    network = nin_spec.compile(nin_spec.loads(emit(data)))
    assert "blocks.3.convs.2.weight" in network.graph.parameters()


def test_a_suggestion_is_bounded() -> None:
    """A pattern of many parts and stars is answered at once, and has none."""
    assert suggestion("a*" * 90, ["blocks.0.convs.0.weight"] * 2000) is None
    assert suggestion(".".join("abcdefghij"), ["blocks.0.convs.0.weight"]) is None
