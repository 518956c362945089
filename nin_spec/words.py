"""The language's words for ops, each given once: lowering reads the table one way, importers spell ops by it the other.

The value of `activation`, `norm` or `pool` has a kind and keys. The kind is the word for a class of ops; the keys
are the fields of the op, under the same names but where the word says how one becomes the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.language.kinds import model_of
from nin_spec.language.shorthand import short_pair, short_sides

Fields = dict[str, Any]


def _same(given: Fields) -> Fields:
    return given


@dataclass(frozen=True)
class Word:
    """A class of ops, and how a mapping's keys become its fields and its fields such keys."""

    op: type[ops.Op]
    fields_of: Callable[[Fields], Fields] = _same
    keys_of: Callable[[Fields], Fields] = _same


# ------------------------------------------------------------------ how keys and fields differ


def _batch_fields(keys: Fields) -> Fields:
    affine = keys.pop("affine")
    return {**keys, "scale": affine is True, "shift": affine is not False}


def _batch_keys(fields: Fields) -> Fields:
    scale, shift = fields.pop("scale"), fields.pop("shift")
    return {**fields, "affine": True if scale else "shift" if shift else False}


def _gelu_fields(keys: Fields) -> Fields:
    return {"approximate": keys["approximate"] == "tanh"}


def _gelu_keys(fields: Fields) -> Fields:
    return {"approximate": "tanh" if fields["approximate"] else "none"}


def _window_fields(keys: Fields) -> Fields:
    return {"kernel_size": keys.pop("kernel"), **keys}


def _window_keys(fields: Fields) -> Fields:
    """What a pool leaves out is None, or as the grammar has it: a stride of the kernel's size, and no padding."""
    kernel, stride, padding = fields.pop("kernel_size"), fields.pop("stride"), fields.pop("padding")
    keys = {"kernel": short_pair(kernel), "stride": None if stride == kernel else short_pair(stride)}
    if padding == Padding():
        return {**keys, **fields, "padding": tuple(padding), "count_include_pad": None}
    return {**keys, **fields, "padding": short_sides(padding)}


# ------------------------------------------------------------------ the table


WORDS: dict[str, dict[str, Word]] = {
    "norm": {
        "batch": Word(ops.BatchNorm, _batch_fields, _batch_keys),
        "lrn": Word(ops.LocalResponseNorm),
    },
    "activation": {
        "relu": Word(ops.ReLU),
        "leaky_relu": Word(ops.LeakyReLU),
        "prelu": Word(ops.PReLU),
        "elu": Word(ops.ELU),
        "gelu": Word(ops.GELU, _gelu_fields, _gelu_keys),
        "silu": Word(ops.SiLU),
        "hardswish": Word(ops.Hardswish),
        "mish": Word(ops.Mish),
        "sigmoid": Word(ops.Sigmoid),
        "tanh": Word(ops.Tanh),
        "maxout": Word(ops.Maxout),
    },
    "pool": {
        "max": Word(ops.MaxPool2d, _window_fields, _window_keys),
        "avg": Word(ops.AvgPool2d, _window_fields, _window_keys),
        "global_avg": Word(ops.AdaptiveAvgPool2d),
        "global_max": Word(ops.AdaptiveMaxPool2d),
    },
}
"""The words by key. `none`, for no op at all, is not listed."""

DROPOUTS: dict[str, type[ops.Dropout | ops.Dropout2d]] = {"element": ops.Dropout, "channel": ops.Dropout2d}
"""What a dropout drops by."""

OUTPUTS: dict[str, type[ops.Op]] = {"softmax": ops.Softmax, "log_softmax": ops.LogSoftmax}
"""What a head may end in, other than scores."""

STEPS: dict[str, tuple[type[ops.Op], ...]] = {
    "shuffle": (ops.ChannelShuffle,),
    "conv": (ops.Conv2d,),
    "norm": (ops.BatchNorm, ops.LocalResponseNorm),
    "activation": (ops.Activation,),
    "dropout": (ops.Dropout, ops.Dropout2d),
    "pool": (ops.Pool2d, ops.GlobalPool2d),
}
"""The language's word for each step on maps, in the usual order."""


def op_of(key: str, given: Any, **resolved: Any) -> ops.Op | None:
    """The op for the value of a key; None for `none`. `resolved` are keys whose value depends on the network."""
    if given.kind == "none":
        return None
    word = WORDS[key][given.kind]
    keys = {name: getattr(given, name) for name in type(given).model_fields if name != "kind"}
    return word.op(**word.fields_of({**keys, **{name: value for name, value in resolved.items() if name in keys}}))


def spelling_of(op: ops.Op) -> Any:
    """An op in the fewest words: its kind, or a mapping with the keys that are not as the grammar has them."""
    key, kind = _words()[type(op)]
    usual = _defaults(key, kind)
    keys = WORDS[key][kind].keys_of(dict(vars(op)))
    said = {name: keys[name] for name in usual if keys[name] != usual[name]}
    return {"kind": kind, **said} if said else kind


def step_of(op: ops.Op) -> str | None:
    """The language's word for a step on maps; None for any other op."""
    return next((step for step, kinds in STEPS.items() if isinstance(op, kinds)), None)


@cache
def _words() -> Mapping[type[ops.Op], tuple[str, str]]:
    """The key and the kind of each op."""
    return {word.op: (key, kind) for key, words in WORDS.items() for kind, word in words.items()}


@cache
def _defaults(key: str, kind: str) -> Fields:
    """The keys of a kind, with their defaults; a required key has a default that equals nothing."""
    return {
        name: object() if field.is_required() else field.default
        for name, field in model_of(key, kind).model_fields.items()
        if name != "kind"
    }
