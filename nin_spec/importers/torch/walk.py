"""From an nn.Module to a chain: its program by torch.export, operator by operator.

torch.export gives every spelling (modules, functions, methods) in the same few ATen operators, and runs no code
but the module's own forward. What has no rule, or forks and comes together again, is recognised by what it
computes, as in ONNX files.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from nin_spec.importers.chain import Array, Chain, reading, refusal
from nin_spec.importers.padding import Pending
from nin_spec.importers.recognise import Affine, recognise
from nin_spec.importers.rescaling import rescaled
from nin_spec.importers.torch.constants import Held
from nin_spec.importers.torch.regions import (
    arguments_of,
    hinted_by,
    label_of,
    name_of,
    path_of,
    region_of,
    unknowable,
)
from nin_spec.ir import ops

_MAX_REGION = 64
BATCH = 2
"""Pictures of the example that a module is traced with: its views may have their number in them."""
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A use of an operator: where the walk stands, the node, and its arguments by name."""

    walk: TorchWalk
    node: fx.Node
    given: Arguments


Rule = Callable[[Call], ops.Op | None]


_SILENT = {
    "aten.dropout",
    "aten.feature_dropout",
    "aten.clone",
    "aten.contiguous",
    "aten.alias",
    "aten.detach",
    "aten.pad",
    "aten.clamp",
    "aten.clamp_min",
    "aten.clamp_max",
    "aten.hardtanh",
}
"""Operators that may add no step."""
_WINDOWS = {"aten.conv2d", "aten.max_pool2d", "aten.avg_pool2d"}
"""What may take up a padding before it."""


@dataclass
class TorchWalk:
    """Where a walk stands."""

    program: torch.export.ExportedProgram
    chain: Chain
    value: fx.Node
    held: Held
    used: dict[str, fx.Node] = field(default_factory=dict)
    pad: Pending | None = None

    def go(self) -> Chain:
        """Walk to the output. Raises ForeignModelError."""
        from nin_spec.importers.torch.rules import RULES

        while True:
            readers = list(self.value.users)
            if not readers:
                raise refusal(self.value.name, "nothing uses this value, and it is not the output")
            node = readers[0]
            if self.pad is not None and name_of(node) not in _WINDOWS:
                raise refusal(self.pad.origin, "padding that no convolution or pool follows")
            if len(readers) == 1 and node.op == "output":
                return self.chain
            rule = RULES.get(name_of(node)) if len(readers) == 1 else None
            with reading(label_of(node)):
                if rule is None or not self._apply(rule, node):
                    self._region(readers)

    def _apply(self, rule: Rule, node: fx.Node) -> bool:
        """One operator by its rule; False where the rule does not know this use of it."""
        given = arguments_of(node)
        before = len(self.chain.steps), self.pad
        if given.get("mat1", given.get("self", given.get("input"))) is not self.value:
            return False
        op = rule(Call(self, node, given))
        if op is None:
            if (len(self.chain.steps), self.pad) == before and name_of(node) not in _SILENT:
                return False
        else:
            self.add(op, node, given)
        self.value = _first(node)
        return True

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
            why = f"its tensor {value.name} is computed from the input, and the language's weights are constants"
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

    def _region(self, readers: list[fx.Node]) -> None:
        """Operators from here to where their paths meet again: the first such function that has a word."""
        origin = label_of(readers[0])
        for nodes in self._meetings(readers):
            origin = " ... ".join(dict.fromkeys((label_of(nodes[0]), label_of(nodes[-1]))))
            region = region_of(nodes, self.value, self.held.tensors)
            found = recognise(region, (BATCH, *self.chain.output.shape), origin, hinted_by(nodes, region.constants))
            if found is not None:
                self._take(found, origin)
                self.value = nodes[-1]
                return
        raise refusal(origin, "the language has no word for what this computes")

    def _take(self, found: list[ops.Op] | Affine, origin: str) -> None:
        if isinstance(found, Affine):
            if not self.chain.steps:
                raise refusal(origin, "the module scales its input itself", "leave that to input.preprocess")
            self.chain = rescaled(self.chain, found, origin)
        for op in found if isinstance(found, list) else ():
            self.chain = self.chain.then(op, origin)

    def _meetings(self, readers: list[fx.Node]) -> Iterator[list[fx.Node]]:
        """Ever more operators after which one value alone is left."""
        met = False
        order = {node: k for k, node in enumerate(self.program.graph.nodes)}
        inside: list[fx.Node] = []
        pending = list(readers)
        while pending and len(inside) < _MAX_REGION:
            known = {self.value, *inside}
            ready = [n for n in sorted(pending, key=order.__getitem__) if self._ready(n, known)]
            if not ready or unknowable(ready[0]):
                break
            inside.append(ready[0])
            pending = [n for n in {*pending, *ready[0].users} if n not in inside]
            live = [n for n in (self.value, *inside) if any(user not in inside for user in n.users)]
            if live == inside[-1:] and isinstance(live[0].meta["val"], torch.Tensor):
                met = True
                yield list(inside)
        if met:
            return
        names = ", ".join(label_of(node) for node in readers[:4])
        if len(readers) == 1:
            raise refusal(label_of(readers[0]), f"{name_of(readers[0])}: the language has no word for it here")
        why = f"the value {self.value.name} goes more than one way ({names}), and a network of the language is a chain"
        raise refusal(
            label_of(readers[0]), why, "residual sums, side branches and further outputs are outside the language"
        )

    def _ready(self, node: fx.Node, known: set[fx.Node]) -> bool:
        return node.op == "call_function" and all(
            n in known or n.name in self.held.tensors for n in node.all_input_nodes
        )


def _first(node: fx.Node) -> fx.Node:
    """The value of an operator that gives (values, indices), as pools and maxima do. Raises ForeignModelError."""
    if isinstance(node.meta["val"], torch.Tensor):
        return node
    values = [user for user in node.users if user.target is operator.getitem and user.args[1] == 0]
    if len(values) != 1 or len(node.users) != 1:
        raise refusal(label_of(node), "its indices are used, and the language only has its values")
    return values[0]
