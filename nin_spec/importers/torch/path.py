"""From an nn.Module to a chain: its program by torch.export, operator by operator.

torch.export gives every spelling (modules, functions, methods) in the same few ATen operators, and runs no code
but the module's own forward. What has no rule, or forks and comes together again, is recognised by what it
computes, as in ONNX files.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch import fx

from nin_spec.importers.chain import Chain, reading, refusal
from nin_spec.importers.recognise import Affine, recognise
from nin_spec.importers.rescaling import rescaled
from nin_spec.importers.torch.regions import arguments_of, hinted_by, label_of, name_of, region_of, unknowable
from nin_spec.importers.torch.rules import RULES
from nin_spec.importers.torch.walk import BATCH, Call, Rule, TorchWalk
from nin_spec.ir import ops

_MAX_REGION = 64
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


def follow(walk: TorchWalk) -> Chain:
    """Go along to the output. Raises ForeignModelError."""
    while True:
        readers = list(walk.value.users)
        if not readers:
            raise refusal(walk.value.name, "nothing uses this value, and it is not the output")
        node = readers[0]
        if walk.pad is not None and name_of(node) not in _WINDOWS:
            raise refusal(walk.pad.origin, "padding without a convolution or pool after it")
        if len(readers) == 1 and node.op == "output":
            return _flattened(walk.chain, walk.value.name)
        rule = RULES.get(name_of(node)) if len(readers) == 1 else None
        with reading(label_of(node)):
            if rule is None or not _apply(walk, rule, node):
                _region(walk, readers)


def _flattened(chain: Chain, origin: str) -> Chain:
    """The chain, whose scores may be maps of one cell."""
    one_cell = chain.steps and chain.output.is_map and chain.output.shape[1:] == (1, 1)
    return chain.then(ops.Flatten(), origin) if one_cell else chain


def _apply(walk: TorchWalk, rule: Rule, node: fx.Node) -> bool:
    """One operator by its rule; False where the rule does not know this use of it."""
    given = arguments_of(node)
    before = len(walk.chain.steps), walk.pad
    if given.get("mat1", given.get("self", given.get("input"))) is not walk.value:
        return False
    op = rule(Call(walk, node, given))
    if op is None:
        if (len(walk.chain.steps), walk.pad) == before and name_of(node) not in _SILENT:
            return False
    else:
        walk.add(op, node, given)
    walk.value = _first(node)
    return True


def _first(node: fx.Node) -> fx.Node:
    """The value of an operator that gives (values, indices), as pools and maxima do. Raises ForeignModelError."""
    if isinstance(node.meta["val"], torch.Tensor):
        return node
    values = [user for user in node.users if user.target is operator.getitem and user.args[1] == 0]
    if len(values) != 1 or len(node.users) != 1:
        raise refusal(label_of(node), "its indices are used, but the language only supports its values")
    return values[0]


# ------------------------------------------------------------------ regions


def _region(walk: TorchWalk, readers: list[fx.Node]) -> None:
    """Operators from here to where their paths meet again: the first such function that the language can express."""
    origin = label_of(readers[0])
    for nodes in _meetings(walk, readers):
        origin = " ... ".join(dict.fromkeys((label_of(nodes[0]), label_of(nodes[-1]))))
        region = region_of(nodes, walk.value, walk.held.tensors)
        found = recognise(region, (BATCH, *walk.chain.output.shape), origin, hinted_by(nodes, region.constants))
        if found is not None:
            _take(walk, found, origin)
            walk.value = nodes[-1]
            return
    raise refusal(origin, "the language has no equivalent of what this computes")


def _take(walk: TorchWalk, found: list[ops.Op] | Affine, origin: str) -> None:
    """Add what a region was recognised as. Raises ForeignModelError."""
    if isinstance(found, Affine):
        if not walk.chain.steps:
            raise refusal(origin, "the module scales its input itself", "use input.preprocess instead")
        walk.chain = rescaled(walk.chain, found, origin)
    for op in found if isinstance(found, list) else ():
        walk.chain = walk.chain.then(op, origin)


def _meetings(walk: TorchWalk, readers: list[fx.Node]) -> Iterator[list[fx.Node]]:
    """Ever more operators after which one value alone is left."""
    met = False
    order = {node: k for k, node in enumerate(walk.program.graph.nodes)}
    inside: list[fx.Node] = []
    pending = list(readers)
    while pending and len(inside) < _MAX_REGION:
        known = {walk.value, *inside}
        ready = [n for n in sorted(pending, key=order.__getitem__) if _ready(walk, n, known)]
        if not ready or unknowable(ready[0]):
            break
        inside.append(ready[0])
        pending = [n for n in {*pending, *ready[0].users} if n not in inside]
        live = [n for n in (walk.value, *inside) if any(user not in inside for user in n.users)]
        if live == inside[-1:] and isinstance(live[0].meta["val"], torch.Tensor):
            met = True
            yield list(inside)
    if met:
        return
    names = ", ".join(label_of(node) for node in readers[:4])
    if len(readers) == 1:
        raise refusal(label_of(readers[0]), f"{name_of(readers[0])}: the language has no equivalent of it here")
    why = f"the value {walk.value.name} has several users ({names}), but a network of the language is a chain"
    raise refusal(
        label_of(readers[0]), why, "residual sums, side branches and further outputs are outside the language"
    )


def _ready(walk: TorchWalk, node: fx.Node, known: set[fx.Node]) -> bool:
    """Whether all that an operator reads is known."""
    return node.op == "call_function" and all(n in known or n.name in walk.held.tensors for n in node.all_input_nodes)
