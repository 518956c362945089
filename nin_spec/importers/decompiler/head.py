"""The head of a chain: the pool that makes features of maps, and the dense layers after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nin_spec.importers.chain import Step, refusal
from nin_spec.importers.decompiler.spelling import spell, spell_init
from nin_spec.ir import ops
from nin_spec.words import OUTPUTS

Data = dict[str, Any]
_ON_FEATURES = (ops.Activation, ops.BatchNorm, ops.Dropout, ops.Dropout2d, *OUTPUTS.values())
"""What gives the same before and after maps of one cell are flattened."""
_OUTPUTS = {op: word for word, op in OUTPUTS.items()}


def split_head(steps: Sequence[Step], *, late: bool = True) -> tuple[list[Step], Step | None, list[Step]]:
    """Steps on maps, the head's pool if it has one, and the steps on features.

    A pool is the head's when it leaves one cell. A step between such a pool and the flattening that would
    compute the same after it belongs to the features if `late`, else to the maps. Raises ForeignModelError where
    nothing flattens the maps.
    """
    flat = next((k for k, step in enumerate(steps) if isinstance(step.op, ops.Flatten)), None)
    if flat is None:
        where = steps[-1].origin if steps else "the output"
        hint = "scores are one number per class: end with a flatten"
        raise refusal(where, "the network outputs maps, not scores", hint)
    features = [step for step in steps[flat + 1 :] if not isinstance(step.op, ops.Flatten)]
    cut = flat
    while late and cut and isinstance(steps[cut - 1].op, _ON_FEATURES) and steps[cut - 1].input.shape[1:] == (1, 1):
        cut -= 1
    maps, between = list(steps[:cut]), list(steps[cut:flat])
    if maps and isinstance(maps[-1].op, ops.Pool2d | ops.GlobalPool2d) and maps[-1].output.shape[1:] == (1, 1):
        return maps[:-1], maps[-1], [*between, *features]
    return [*maps, *between], None, features


def spell_head(pool: Step | None, features: Sequence[Step]) -> Data:
    """The `head` section, what goes without saying left out."""
    head: Data = {}
    if pool is None:
        head["pool"] = "none"
    elif not isinstance(pool.op, ops.AdaptiveAvgPool2d):
        head["pool"] = spell(pool.op)
    rest = list(features)
    if dropped := _take(rest, ops.Dropout, ops.Dropout2d):
        head["dropout"] = spell(dropped.op)
    dense: list[Data] = []
    while layer := _take(rest, ops.Linear):
        dense.append(_dense(layer, rest))
    if dense:
        classes = features[-1].output.shape[0]
        head["dense"] = [_short(item, classes, last=item is dense[-1]) for item in dense]
    if norm := _take(rest, ops.BatchNorm):
        head["norm"] = spell(norm.op)
    if activation := _take(rest, ops.Activation):
        head["activation"] = spell(activation.op)
    if output := _take(rest, *_OUTPUTS):
        head["output"] = _OUTPUTS[type(output.op)]
    if rest:
        raise refusal(rest[0].origin, f"a head does not allow {type(rest[0].op).__name__} here")
    return head


def _take(rest: list[Step], *kinds: type[ops.Op]) -> Step | None:
    """The next step, taken away, if it is of one of these kinds."""
    return rest.pop(0) if rest and isinstance(rest[0].op, kinds) else None


def _dense(layer: Step, rest: list[Step]) -> Data:
    """A dense layer with its norm, activation and dropout, all keys written out."""
    assert isinstance(layer.op, ops.Linear)  # noqa: S101 by its kind
    said: Data = {"units": layer.op.out_features, "bias": layer.op.bias}
    norm = _take(rest, ops.BatchNorm)
    activation = _take(rest, ops.Activation)
    dropout = _take(rest, ops.Dropout, ops.Dropout2d)
    said["norm"] = spell(norm.op) if norm else "none"
    said["activation"] = spell(activation.op) if activation else "none"
    said["init"] = spell_init(layer)
    return {**said, "dropout": spell(dropout.op)} if dropout else said


def _short(item: Data, classes: int, *, last: bool) -> Any:
    """The item without defaults. The last layer gives the classes, or the pieces of which maxout makes them."""
    usual = {"bias": True, "norm": "none", "activation": "none" if last else "relu", "init": "framework"}
    said = {key: value for key, value in item.items() if key not in usual or value != usual[key]}
    if last and said["units"] == classes:
        said["units"] = "classes"
    return said if len(said) > 1 else said["units"]
