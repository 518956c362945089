"""An option that names a value of the spec leads to --set."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel

import nin_spec
from nin_spec.cli import group
from nin_spec.cli.commands import COMMANDS
from nin_spec.cli.misplaced import path_of
from nin_spec.language.recipe import Recipe
from nin_spec.language.schema import Input

Command = Callable[..., object]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train", "nin_digits", "--epochs", "3"], "--set train.epochs=3"),
        (["train", "nin_digits", "--lr=0.1"], "--set train.optimizer.lr=0.1"),
        (["train", "nin_digits", "--learning-rate", "0.1"], "--set train.optimizer.lr=0.1"),
        (["train", "nin_digits", "--batch-size", "64"], "--set train.batch_size=64"),
        (["train", "nin_digits", "--data-set", "mnist"], "--set train.dataset=mnist"),
        (["train", "nin_digits", "--seed", "3"], "--set train.seed=3"),
        (["train", "nin_digits", "--epochs"], "--set train.epochs=VALUE"),
        (["train", "nin_digits", "--epochs", "--resume"], "--set train.epochs=VALUE"),
        (["build", "nin_digits", "--dtype", "float64"], "--set dtype=float64"),
        (["show", "nin_digits", "--channels", "3"], "--set input.channels=3"),
        (["serve", "x.onnx", "--epochs", "3"], "set it there, or train and export with --set train.epochs=3"),
    ],
)
def test_a_value_of_the_spec_is_led_to_set(nin_spec: Command, arguments: list[str], hint: str) -> None:
    """With the path, and the value that was given."""
    done = nin_spec(*arguments)
    assert done.code == 2  # type: ignore[attr-defined]
    assert f"hint: it is a value of the spec: {hint}\n" in done.err  # type: ignore[attr-defined]


def test_another_word_is_left_to_its_own(nin_spec: Command) -> None:
    """Nothing in a spec is called so."""
    done = nin_spec("train", "nin_digits", "--nonsense", "3")
    assert "hint" not in done.err  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [Recipe, Input])
def test_every_key_of_the_recipe_and_the_input_is_found(model: type[BaseModel]) -> None:
    """At the path that --set takes."""
    prefix = "train" if model is Recipe else "input"
    for key in model.model_fields:
        if f"{prefix}.{key}" != "input.size":
            assert path_of(f"--{key.replace('_', '-')}") == f"{prefix}.{key}"


def test_what_a_hint_says_to_set_can_be_set() -> None:
    """The path exists in a spec that has a recipe."""
    for word, value in (("epochs", "3"), ("lr", "0.5"), ("batch-size", "7"), ("flip", "true"), ("momentum", "0.5")):
        network = nin_spec.compile("nin_cifar", [f"{path_of(f'--{word}')}={value}"])
        assert network.hash == nin_spec.compile("nin_cifar").hash


def test_no_command_s_own_option_is_meant() -> None:
    """What a command has itself never comes to the hint: click takes it first."""
    for name in COMMANDS:
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert all("--epochs" not in p.opts for p in command.params)
