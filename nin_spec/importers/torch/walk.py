"""The state of a walk along a module's program, and how it takes a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from nin_spec.importers.chain import Array, Chain, refusal
from nin_spec.importers.padding import Pending
from nin_spec.importers.torch.constants import Held
from nin_spec.importers.torch.regions import label_of, path_of
from nin_spec.ir import ops

BATCH = 2
"""Pictures of the example that a module is traced with: its views may have their number in them."""
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A use of an operator: the state of the walk, the node, and its arguments by name."""

    walk: TorchWalk
    node: fx.Node
    given: Arguments


Rule = Callable[[Call], ops.Op | None]


@dataclass
class TorchWalk:
    """The state of a walk."""

    program: torch.export.ExportedProgram
    chain: Chain
    value: fx.Node
    held: Held
    used: dict[str, fx.Node] = field(default_factory=dict)
    pad: Pending | None = None

    def add(self, op: ops.Op, node: fx.Node, given: Arguments) -> None:
        """A step with the tensors that the operator is given."""
        found = {p.name: given.get(p.name) for p in op.parameters(self.chain.output)}
        arrays = {key: self.array(value, node) for key, value in found.items() if isinstance(value, fx.Node)}
        if isinstance(op, ops.PReLU):
            arrays = {key: array.reshape(-1) for key, array in arrays.items()}
        self.then(op, node, given, arrays)

    def then(self, op: ops.Op, node: fx.Node, given: Arguments, arrays: dict[str, Array]) -> None:
        """A step with these arrays."""
        origin = self.origin(node, given)
        self.chain = self.chain.then(op, origin, **arrays).called(origin)

    def origin(self, node: fx.Node, given: Arguments) -> str:
        """What the module calls the layer: the path of its parameters, or of the module, or the operator."""
        weight = given.get("weight")
        if isinstance(weight, fx.Node) and weight.name in self.held.tensors:
            path = self.held.tensors[weight.name][0].rpartition(".")[0]
            if path:
                return path
        return path_of(node) or node.name

    def array(self, value: fx.Node, node: fx.Node) -> Array:
        """A tensor that the module holds, for one operator alone. Raises ForeignModelError."""
        if value.name not in self.held.tensors:
            why = f"its tensor {value.name} is computed from the input, but weights must be constants"
            raise refusal(label_of(node), why)
        _, tensor = self.held.tensors[value.name]
        for name in sorted(self.held.leaves(value.name)):
            user = self.used.setdefault(name, node)
            if user is not node:
                both = f"{label_of(user)} and by {label_of(node)}"
                raise refusal(name, f"used by {both}: shared weights are outside the language")
        found: Array = tensor.detach().cpu().double().numpy().astype(self.chain.input.dtype)
        return found

    # -------------------------------------------------------------- regions
