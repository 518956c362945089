"""An ONNX graph being written: nodes and initializers in the order of the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from nin_spec.exporters.targets import Runtime
from nin_spec.ir.graph import Node
from nin_spec.passes.changes import Change

INPUT, OUTPUT = "input", "scores"

Array = NDArray[Any]


@dataclass
class Writer:
    """A chain being written: nodes and initializers so far, and the name of the current value.

    `runtimes` are the targets: of several ways to write an op, one that they compute correctly is chosen. `lowerings`
    write what the file's devices need otherwise, and `lowered` is what they wrote. `chain` are the graph's nodes
    so far.
    """

    opset: int
    dtype: np.dtype[Any]
    weights: dict[str, Array]
    runtimes: Sequence[Runtime]
    open_size: bool = False
    lowerings: Sequence[Callable[[Any, Node], bool]] = ()
    value: str = INPUT
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)
    chain: list[Node] = field(default_factory=list)
    lowered: list[Change] = field(default_factory=list)

    def add(self, op_type: str, node: Node, *inputs: str, part: str = "", **attributes: Any) -> str:
        """Add a node after the last value, named after the graph's node; `part` distinguishes several of one node.

        Its value is named for the node of the spec that has it: parity finds each under that name.
        """
        name = f"{node.name}/{part}" if part else node.name
        value = name if part else node.computes or f"{node.name}/value"
        made = helper.make_node(op_type, [self.value, *inputs], [value], name=name)
        made.attribute.extend(_attribute(key, value) for key, value in attributes.items() if value is not None)
        self.nodes.append(made)
        self.value = value
        return value

    def append(self, op_type: str, name: str, **attributes: Any) -> str:
        """Add a node after the last value that does not correspond to a node of the graph."""
        self.nodes.append(helper.make_node(op_type, [self.value], [name], name=name, **attributes))
        self.value = name
        return name

    def parameter(self, node: Node, name: str) -> str:
        """An initializer for one of the node's parameters, under its name."""
        full = f"{node.name}.{name}"
        return self.constant(full, self.weights[full])

    def constant(self, name: str, array: Array) -> str:
        """An initializer; floats in the dtype of the export."""
        kept = array if array.dtype.kind in "iu" else np.ascontiguousarray(array, self.dtype)
        self.tensors.append(numpy_helper.from_array(kept, name))
        return name


def _attribute(key: str, value: Any) -> AttributeProto:
    return helper.make_attribute(key, list(value) if isinstance(value, tuple) else value)
