"""What the rules of ONNX operators share: where they are registered, and how they read a node's constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nin_spec.importers.chain import Array, refusal, registry
from nin_spec.importers.onnx.evaluate import label
from nin_spec.importers.onnx.walk import Walk

if TYPE_CHECKING:
    from onnx import NodeProto

Rule = Callable[[Walk, "NodeProto"], bool]
"""Moves the walk on past a node; False where the node is not of the kind that it knows."""
RULES: dict[str, Rule] = {}
rule = registry(RULES)
"""`@rule("Conv")`: the rule of operators, by their types."""


def constant(walk: Walk, node: NodeProto, place: int) -> Array | None:
    """A constant input, None where the node leaves it out. Raises ForeignModelError if it is not a constant."""
    name = node.input[place] if len(node.input) > place else ""
    if not name:
        return None
    if name not in walk.source.constants:
        raise refusal(label(node), f"its input {name!r} is computed, but weights must be constants")
    return walk.source.constants[name]


def needed(walk: Walk, node: NodeProto, place: int) -> Array:
    """A constant input that can't be left out."""
    found = constant(walk, node, place)
    if found is None:
        raise refusal(label(node), f"its input {place} is missing")
    return found


def done(walk: Walk, node: NodeProto) -> bool:
    """Continue the walk from the node's first output. Raises ForeignModelError where another one is used."""
    for other in node.output[1:]:
        if other and (walk.source.users.get(other) or other == walk.source.output):
            raise refusal(label(node), f"its output {other!r} is used, but a network of the language is a chain")
    walk.value = node.output[0]
    return True


def on_maps(walk: Walk, node: NodeProto) -> None:
    """Raises ForeignModelError where the maps have their channels last."""
    if walk.channels_last:
        raise refusal(label(node), "it works on the channels-last side of a transpose")
