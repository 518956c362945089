"""A file that `nin-spec export` wrote: it carries its spec, and its tensors carry the names of the network.

Batch norm that was folded away comes back as one that changes nothing, with the offset that the convolution
had got: other numbers, the same network.
"""

from __future__ import annotations

import re

import numpy as np

from nin_spec import network as networks
from nin_spec.diagnostics import ForeignModelError, SpecError
from nin_spec.importers.chain import Array, Chain
from nin_spec.importers.onnx_file import Constant, Source
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.language.load import loads
from nin_spec.network import Network


def own_chain(source: Source) -> Chain | None:
    """The chain of the spec in a file's metadata, with the file's tensors; None where they don't belong together."""
    text = source.metadata.get("nin_spec.spec")
    if not text or source.metadata.get("nin_spec.input", "normalised") != "normalised":
        return None
    try:
        network = networks.compile(loads(text, f"{source.name}.yaml", alone=True))
        return _chain(network, source.constants)
    except (SpecError, ForeignModelError):
        return None


def _chain(network: Network, tensors: dict[str, Constant]) -> Chain | None:
    graph, card = network.graph, network.card
    chain = Chain(card.name, graph.input, (), graph.open_size, card.labels, card.preprocessing)
    held = unfolded(graph, tensors)
    for node in graph:
        names = [p.name for p in node.op.parameters(node.input)]
        if any(f"{node.name}.{name}" not in held for name in names):
            return None
        arrays = {name: np.asarray(held[f"{node.name}.{name}"], graph.input.dtype) for name in names}
        if isinstance(node.op, ops.PReLU):
            arrays = {name: array.reshape(-1) for name, array in arrays.items()}
        chain = chain.then(node.op, node.name, **arrays).called(_block_of(node, network))
    return chain


def _block_of(node: Node, network: Network) -> str:
    """The name that the spec gives the node's block, or none."""
    place = re.match(r"blocks\.(\d+)\.", node.name)
    return (network.spec.spec.blocks[int(place[1])].name or "") if place else ""


def unfolded(graph: Graph, tensors: dict[str, Constant]) -> dict[str, Array]:
    """The tensors, with those of every batch norm that was folded into the layer before it."""
    held = dict(tensors)
    before: Node | None = None
    for node in graph:
        if isinstance(node.op, ops.BatchNorm) and f"{node.name}.running_mean" not in held:
            extra = held.get(f"{before.name}.bias") if before is not None and not _has_bias(before) else None
            zeros = np.zeros(node.input.shape[0])
            gain = np.sqrt(1 + node.op.eps) if node.op.scale else 1.0
            variance = 1.0 if node.op.scale else 1 - node.op.eps
            # Without an offset of its own, a norm moves by its mean.
            mean = zeros if extra is None or node.op.shift else -extra
            held |= {
                f"{node.name}.weight": zeros + gain,
                f"{node.name}.bias": zeros if extra is None else extra,
                f"{node.name}.running_mean": mean,
                f"{node.name}.running_var": zeros + variance,
            }
        if not isinstance(node.op, ops.Dropout | ops.Dropout2d):
            before = node
    return held


def _has_bias(node: Node) -> bool:
    return any(p.name == "bias" for p in node.op.parameters(node.input))
