"""Blocks as the YAML that a person would have written: defaults left out, and keys that blocks share written once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nin_spec.importers.chain import Step
from nin_spec.importers.decompiler.blocks import Part, Unit, is_plain
from nin_spec.importers.decompiler.names import names_of
from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.language.shorthand import short_pair, short_sides
from nin_spec.words import spelling_of

Data = dict[str, Any]
SHARED = ("bias", "norm", "activation", "order", "init")
LANGUAGE: Data = {
    "bias": True,
    "norm": "none",
    "activation": "relu",
    "order": ["shuffle", "conv", "norm", "activation", "dropout"],
    "init": "framework",
}
"""The defaults of a convolution."""


def spell(op: ops.Op) -> Any:
    """An op in the language's shortest words."""
    match op:
        case ops.Dropout(p=p):
            return p
        case ops.Dropout2d(p=p):
            return {"p": p, "by": "channel"}
        case ops.ChannelShuffle(groups=groups):
            return groups
        case _:
            return spelling_of(op)


# ------------------------------------------------------------------ blocks


def spell_blocks(parts: Sequence[Part], scores: Step | None) -> Data:
    """`defaults` and `blocks`. `scores` is the convolution whose channels are the classes."""
    wanted = [[_shared(unit) for unit in part.units] for part in parts]
    defaults = {key: _usual(key, wanted) for key in SHARED}
    blocks = [_block(part, of, defaults, scores) for part, of in zip(parts, wanted, strict=True)]
    blocks = [{"name": name, **block} if name else block for name, block in zip(names_of(parts), blocks, strict=True)]
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
        "init": spell_init(unit.steps["conv"]),
    }


def spell_init(step: Step) -> Any:
    """How a step's weights begin."""
    said = dict(step.init or {"kind": "framework"})
    return said if len(said) > 1 else said["kind"]


def _usual(key: str, wanted: Sequence[Sequence[Data]]) -> Any:
    """The value to write as a default: the most common; on a tie the language's own."""
    counts = Counter(json.dumps(of[key]) for units in wanted for of in units)
    own = json.dumps(LANGUAGE[key])
    best = max(counts, key=lambda text: (counts[text], text == own), default=own)
    return json.loads(best if counts[best] > counts[own] else own)


def _block(part: Part, wanted: Sequence[Data], defaults: Data, scores: Step | None) -> Data:
    """A block: what its convolutions share stands in the block, the rest with each."""
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
    """A convolution: its channels alone if all else is the default."""
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
    """The window of a convolution, unless it is one cell."""
    said: Data = {}
    for key, value in (("kernel", conv.kernel_size), ("stride", conv.stride), ("dilation", conv.dilation)):
        if value != (1, 1):
            said[key] = short_pair(value)
    if conv.padding != Padding():
        said["padding"] = short_sides(conv.padding)
    return said


def _block_dropout(alone: dict[str, Step]) -> Any:
    """The dropout of a block, and whether it stands before the pool."""
    dropout = spell(alone["dropout"].op)
    kinds = list(alone)
    if "pool" not in kinds or kinds.index("dropout") > kinds.index("pool"):
        return dropout
    said = dropout if isinstance(dropout, dict) else {"p": dropout}
    return {**said, "before_pool": True}
