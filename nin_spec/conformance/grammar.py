"""Every word of the grammar under a key with kinds, in each spelling, as the grammar itself lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from nin_spec.language.kinds import UNIONS
from nin_spec.language.validate import models_in

Data = dict[str, Any]
KEYS = ("norm", "activation", "pool")
"""The keys whose kinds are ops."""

_VALUES: Data = {
    "kernel": [3, 2],
    "stride": [2, 1],
    "padding": [1, 0],
    "affine": "shift",
    "size": 3,
    "pieces": 2,
}
"""Values of keys that are not plain numbers or choices, none of them a default."""


def kinds_of(key: str) -> dict[str, Any]:
    """The model of each kind under a key, `none` left out."""
    pairs = ((kind, m) for m in models_in(UNIONS[key]) for kind in get_args(m.model_fields["kind"].annotation))
    return {kind: model for kind, model in pairs if kind != "none"}


def spellings(key: str) -> list[Any]:
    """Every kind in as few keys as it needs, with each of its keys set to something unusual, and with all of them."""
    return [json.loads(text) for text in dict.fromkeys(map(json.dumps, _spellings(key)))]


def _spellings(key: str) -> Iterator[Any]:
    for kind, model in kinds_of(key).items():
        fields = {name: field for name, field in model.model_fields.items() if name != "kind"}
        needed = {name: _unusual(name, field) for name, field in fields.items() if field.is_required()}
        yield {"kind": kind, **needed} if needed else kind
        rest = {name: _unusual(name, field) for name, field in fields.items() if name not in needed}
        yield from ({"kind": kind, **needed, **_with(name, rest)} for name in rest)
        if rest:
            yield {"kind": kind, **needed, **rest}


def _with(name: str, values: Data) -> Data:
    """A key and what it can't be without: an average that is padded says what it divides by."""
    both = ("padding", "count_include_pad")
    return {k: values[k] for k in (both if name in both and both[1] in values else (name,))}


def _unusual(name: str, field: Any) -> Any:
    """A value that is not the default."""
    if name in _VALUES:
        return _VALUES[name]
    if get_origin(field.annotation) is Literal:
        return next(choice for choice in get_args(field.annotation) if choice != field.default)
    if field.annotation in (bool, bool | None):
        return not field.default
    if field.annotation is float:
        return 0.375 if field.default != 0.375 else 0.625
    raise TypeError(f"{name}: no value for {field.annotation}")
