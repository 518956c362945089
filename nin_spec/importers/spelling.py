"""Blocks as the YAML that a person would have written: defaults left out, what blocks share said once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nin_spec.importers.blocks import Part, Unit, is_plain
from nin_spec.importers.chain import Step
from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.language.shorthand import short_pair, short_sides

Data = dict[str, Any]
SHARED = ("bias", "norm", "activation", "order")
LANGUAGE: Data = {
    "bias": True,
    "norm": "none",
    "activation": "relu",
    "order": ["shuffle", "conv", "norm", "activation", "dropout"],
}
"""What a convolution does when nothing is said."""

_WORDS = {
    ops.ReLU: "relu",
    ops.SiLU: "silu",
    ops.Mish: "mish",
    ops.Sigmoid: "sigmoid",
    ops.Tanh: "tanh",
    ops.AdaptiveAvgPool2d: "global_avg",
    ops.AdaptiveMaxPool2d: "global_max",
}


def spell(op: ops.Op) -> Any:
    """An op in the language's shortest words."""
    if type(op) in _WORDS:
        return _WORDS[type(op)]
    match op:
        case ops.LeakyReLU(slope=slope):
            return _kind("leaky_relu", slope=(slope, 0.01))
        case ops.PReLU(per_channel=per_channel):
            return _kind("prelu", per_channel=(per_channel, False))
        case ops.ELU(alpha=alpha):
            return _kind("elu", alpha=(alpha, 1.0))
        case ops.GELU(approximate=tanh):
            return {"kind": "gelu", "approximate": "tanh"} if tanh else "gelu"
        case ops.Maxout(pieces=pieces):
            return {"kind": "maxout", "pieces": pieces}
        case ops.BatchNorm(eps=eps, momentum=momentum, scale=scale, shift=shift):
            affine = True if scale else "shift" if shift else False
            return _kind("batch", eps=(eps, 1e-5), momentum=(momentum, 0.1), affine=(affine, True))
        case ops.LocalResponseNorm(size=size, alpha=alpha, beta=beta, k=k):
            return _kind("lrn", size=(size, 5), alpha=(alpha, 1e-4), beta=(beta, 0.75), k=(k, 1.0))
        case ops.Dropout(p=p):
            return p
        case ops.Dropout2d(p=p):
            return {"p": p, "by": "channel"}
        case ops.Pool2d():
            return _pool(op)
        case ops.ChannelShuffle(groups=groups):
            return groups
    raise TypeError(f"no word for {op!r}")


def _kind(word: str, **attributes: tuple[Any, Any]) -> Any:
    """A word, or a mapping with the attributes that are not as usual."""
    said = {name: value for name, (value, usual) in attributes.items() if value != usual}
    return {"kind": word, **said} if said else word


def _pool(op: ops.Pool2d) -> Data:
    said: Data = {"kind": "max" if isinstance(op, ops.MaxPool2d) else "avg", "kernel": short_pair(op.kernel_size)}
    if op.stride != op.kernel_size:
        said["stride"] = short_pair(op.stride)
    if op.padding != Padding():
        said["padding"] = short_sides(tuple(op.padding))
    if op.ceil_mode:
        said["ceil_mode"] = True
    if isinstance(op, ops.AvgPool2d) and op.padding != Padding():
        said["count_include_pad"] = op.count_include_pad
    return said


# ------------------------------------------------------------------ blocks


def spell_blocks(parts: Sequence[Part], scores: Step | None) -> Data:
    """`defaults` and `blocks`. `scores` is the convolution whose channels are the classes."""
    wanted = [[_shared(unit) for unit in part.units] for part in parts]
    defaults = {key: _usual(key, wanted) for key in SHARED}
    blocks = [_block(part, of, defaults, scores) for part, of in zip(parts, wanted, strict=True)]
    said = {key: value for key, value in defaults.items() if value != LANGUAGE[key]}
    return {**({"defaults": said} if said else {}), "blocks": blocks}


def _shared(unit: Unit) -> Data:
    """What a convolution may leave to its block or the defaults; its order only where the usual one won't do."""
    order = list(unit.steps)
    usual = [step for step in LANGUAGE["order"] if step in order]
    return {
        "bias": unit.conv.bias,
        "norm": spell(unit.steps["norm"].op) if "norm" in unit.steps else "none",
        "activation": spell(unit.steps["activation"].op) if "activation" in unit.steps else "none",
        "order": LANGUAGE["order"] if order == usual else order,
    }


def _usual(key: str, wanted: Sequence[Sequence[Data]]) -> Any:
    """The value to write as a default: the most common; on a tie the language's own."""
    counts = Counter(json.dumps(of[key]) for units in wanted for of in units)
    own = json.dumps(LANGUAGE[key])
    best = max(counts, key=lambda text: (counts[text], text == own), default=own)
    return json.loads(best if counts[best] > counts[own] else own)


def _block(part: Part, wanted: Sequence[Data], defaults: Data, scores: Step | None) -> Data:
    alone = part.alone
    if not part.units:
        return {kind: spell(step.op) for kind, step in alone.items()}
    # What all convolutions of the block have in common is said by the block.
    common = {key: wanted[0][key] for key in SHARED if all(of[key] == wanted[0][key] for of in wanted)}
    outer = {**defaults, **common}
    pairs = enumerate(zip(part.units, wanted, strict=True))
    items = [_item(unit, of, outer, scores, first=k == 0) for k, (unit, of) in pairs]
    plain = all(not isinstance(item, dict) for item in items)
    block: Data = {"channels" if plain else "convs": items}
    block |= {"kernel": 1, **_window(part.units[0].conv)}  # the language never leaves this one unsaid
    block |= {key: value for key, value in common.items() if value != defaults[key]}
    if "pool" in alone:
        block["pool"] = spell(alone["pool"].op)
    if "dropout" in alone:
        block["dropout"] = _block_dropout(alone)
    return block


def _item(unit: Unit, wanted: Data, outer: Data, scores: Step | None, *, first: bool) -> Any:
    """A convolution: its channels alone where nothing else need be said."""
    step, conv = unit.steps["conv"], unit.conv
    said: Data = {"channels": "classes" if step is scores else conv.out_channels}
    if not first and not is_plain(conv):
        said |= _window(conv)
    if conv.groups != 1:
        said["groups"] = conv.groups
    said |= {key: wanted[key] for key in SHARED if wanted[key] != outer[key]}
    said |= {key: spell(unit.steps[key].op) for key in ("shuffle", "dropout") if key in unit.steps}
    return said if len(said) > 1 else said["channels"]


def _window(conv: ops.Conv2d) -> Data:
    """What a convolution sees, where it is not one cell."""
    said: Data = {}
    for key, value in (("kernel", conv.kernel_size), ("stride", conv.stride), ("dilation", conv.dilation)):
        if value != (1, 1):
            said[key] = short_pair(value)
    if conv.padding != Padding():
        said["padding"] = short_sides(tuple(conv.padding))
    return said


def _block_dropout(alone: dict[str, Step]) -> Any:
    dropout = spell(alone["dropout"].op)
    kinds = list(alone)
    if "pool" not in kinds or kinds.index("dropout") > kinds.index("pool"):
        return dropout
    said = dropout if isinstance(dropout, dict) else {"p": dropout}
    return {**said, "before_pool": True}
