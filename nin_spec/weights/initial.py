"""Initial weights, by the schemes of the published networks.

Each parameter draws from its own stream, keyed by the seed and its position, so that the same seed gives the same
bytes, and a change of one layer does not affect the others. Fans are those of torch.nn.init.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Parameter
from nin_spec.schemes import Init, Scheme, deviation

Array = NDArray[np.floating[Any]]


def initialise(graph: Graph, init: Init, seed: int) -> dict[str, Array]:
    """An array for each parameter of the graph, in its dtype and in layer order."""
    found: dict[str, Array] = {}
    for node in graph:
        scheme = init.by_node.get(node.name, init.default)
        for name, parameter in node.parameters().items():
            stream = np.random.Generator(np.random.Philox(key=[seed, len(found)]))
            found[name] = _draw(node, parameter, scheme, stream).astype(graph.input.dtype)
    return found


def _draw(node: Node, p: Parameter, scheme: Scheme, stream: np.random.Generator) -> Array:
    match p.role:
        case "weight":
            return _weights(p, scheme, stream)
        case "bias":
            return _biases(p, scheme, stream)
        case "slope":
            return np.full(p.shape, node.op.init if isinstance(node.op, ops.PReLU) else 0.25)
        case "scale" | "var":
            return np.ones(p.shape)
        case "shift" | "mean":
            return np.zeros(p.shape)


def _weights(p: Parameter, scheme: Scheme, stream: np.random.Generator) -> Array:
    if scheme.kind == "framework":
        return stream.uniform(-1, 1, p.shape) / math.sqrt(p.fan_in or 1)
    std = deviation(scheme, p)
    if scheme.kind.endswith("uniform"):
        # A uniform distribution of this deviation has the bound sqrt(3) times as large.
        return stream.uniform(-1, 1, p.shape) * (math.sqrt(3) * std * scheme.scale)
    return stream.standard_normal(p.shape) * (std * scheme.scale)


def _biases(p: Parameter, scheme: Scheme, stream: np.random.Generator) -> Array:
    if scheme.kind == "framework":
        return stream.uniform(-1, 1, p.shape) / math.sqrt(p.fan_in or 1)
    return scheme.bias + scheme.bias_std * stream.standard_normal(p.shape)
