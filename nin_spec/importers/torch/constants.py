"""The tensors of a module's program: its parameters and buffers, and what its forward computes of them alone.

Weight norm, spectral norm, pruning masks and frozen batch norms recompute a layer's tensors in each forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nin_spec.importers.chain import reading
from nin_spec.importers.torch.regions import label_of, name_of

_LIFTING = {"aten.detach", "aten.alias", "aten.lift_fresh_copy"}
"""Operators through which a tensor that the forward makes comes unchanged."""


@dataclass(frozen=True)
class Held:
    """Tensors by the name of their node, each with its own name; `made_of` are the parameters behind computed ones."""

    tensors: Mapping[str, tuple[str, torch.Tensor]]
    made_of: Mapping[str, frozenset[str]]

    def leaves(self, node: str) -> frozenset[str]:
        """The parameters and buffers that a node's tensor is, or is computed from."""
        return self.made_of.get(node) or frozenset({self.tensors[node][0]})


def held_by(program: torch.export.ExportedProgram) -> Held:
    """What the program knows without its input. Raises ForeignModelError where an operator fails."""
    signature = program.graph_signature
    held = {**program.state_dict, **program.constants}
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= dict(getattr(signature, "inputs_to_lifted_tensor_constants", {}))
    tensors: dict[str, tuple[str, torch.Tensor]] = {node: (full, held[full]) for node, full in names.items()}
    made_of: dict[str, frozenset[str]] = {}
    values: dict[fx.Node, Any] = {}
    behind: dict[fx.Node, frozenset[str]] = {}
    for node in program.graph.nodes:
        if node.name in tensors:
            values[node], behind[node] = tensors[node.name][1].detach(), frozenset({tensors[node.name][0]})
        elif node.op == "call_function" and all(n in values for n in node.all_input_nodes) and _certain(node):
            with reading(label_of(node)), torch.no_grad():
                values[node] = node.target(*fx.map_arg(node.args, values.get), **fx.map_arg(node.kwargs, values.get))
            behind[node] = frozenset().union(*(behind[n] for n in node.all_input_nodes))
            first = next(iter(node.all_input_nodes), None)
            if name_of(node) in _LIFTING and first is not None and first.name in tensors:
                tensors[node.name] = tensors[first.name]
                made_of |= {node.name: made_of[first.name]} if first.name in made_of else {}
            elif isinstance(values[node], torch.Tensor) and behind[node]:
                tensors[node.name], made_of[node.name] = (node.name, values[node]), behind[node]
    return Held(tensors, made_of)


def _certain(node: fx.Node) -> bool:
    """Whether the operator gives the same each time, and changes none of its inputs."""
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
        return "getitem" in name_of(node)
    drawn = torch.Tag.nondeterministic_seeded in node.target.tags
    return not drawn and (name_of(node) in _LIFTING or not node.target._schema.is_mutable)  # noqa: SLF001
