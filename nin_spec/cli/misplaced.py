"""Options that a command does not have: as a rule values of the spec, which --set or an edit of the file gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

_OTHER_WORDS = {
    "learning_rate": "lr",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "bs": "batch_size",
    "batchsize": "batch_size",
    "train_batch_size": "batch_size",
    "data_set": "dataset",
    "wd": "weight_decay",
    "decay": "weight_decay",
    "val": "validation",
    "val_split": "validation",
    "validation_split": "validation",
    "num_classes": "classes",
    "in_channels": "input.channels",
    "input_channels": "input.channels",
    "input_size": "input.size",
    "image_size": "input.size",
    "img_size": "input.size",
    "random_seed": "seed",
    "optim": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "augmentation": "augment",
}
"""What other programs call our keys."""


def hint_for(error: click.NoSuchOption, arguments: Sequence[str]) -> str | None:
    """How to give the value that an unknown option names; None where the spec has no such key."""
    path = path_of(error.option_name)
    if path is None:
        return None
    value = _value(error.option_name, arguments)
    command = error.ctx.command if error.ctx else None
    if command is not None and any("--set" in p.opts for p in command.params):
        return f"it is a value of the spec: --set {path}={value}"
    return f"it is a value of the spec: set it there, or train and export with --set {path}={value}"


def path_of(option: str) -> str | None:
    """The dotted path of the key that an option is called after: the recipe's first, then the spec's own."""
    word = option.lstrip("-").replace("-", "_").lower()
    word = _OTHER_WORDS.get(word, word)
    paths = list(settable())
    return word if word in paths else next((path for path in paths if path.rpartition(".")[2] == word), None)


def settable() -> Iterator[str]:
    """Every key that has one place in a spec: those of the recipe, of the input, and at the top."""
    from nin_spec.language.recipe import Recipe
    from nin_spec.language.schema import Head, Input, Spec

    yield from _keys(Recipe, "train")
    yield from _keys(Input, "input")
    yield from (key for key in Spec.model_fields if key not in {"spec", "extends", "blocks"})
    yield from _keys(Head, "head")


def _keys(model: Any, path: str) -> Iterator[str]:
    """A model's own keys, then those below them, each once."""
    from nin_spec.language.validate import models_in

    yield from (f"{path}.{key}" for key in model.model_fields)
    for key, field in model.model_fields.items():
        for below in models_in(field.annotation):
            yield from (found for found in _keys(below, f"{path}.{key}") if not found.endswith(".kind"))


def _value(option: str, arguments: Sequence[str]) -> str:
    """The value of the option, if known."""
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name == option:
            given = value if equals else after
            return given if given and not given.startswith("-") else "VALUE"
    return "VALUE"
