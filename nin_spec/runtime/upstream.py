"""What a node of an ONNX file is computed from: its makers, through operators that are passed by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MERGED = {"Identity", "Dropout", "Cast", "Mul", "Add", "Sub", "Div", "BatchNormalization"}
"""What optimisations remove, or merge with an activation or a convolution."""


def makers_of(proto: ModelProto) -> dict[str, NodeProto]:
    """The node that computes each value."""
    return {value: node for node in proto.graph.node for value in node.output}


def behind(
    node: NodeProto, makers: Mapping[str, NodeProto], wanted: Callable[[NodeProto], bool], passed: Collection[str]
) -> bool:
    """True if a wanted node's value reaches this one through operators of the types `passed` alone."""
    todo, seen = list(node.input), set[str]()
    while todo:
        value = todo.pop()
        maker = makers.get(value)
        if maker is None or value in seen:
            continue
        seen.add(value)
        if wanted(maker):
            return True
        if maker.op_type in passed:
            todo += maker.input
    return False
