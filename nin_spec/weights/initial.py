"""Initial weights, by the schemes of the published networks.

Each parameter draws from its own stream, keyed by the seed and its position, so that the same seed gives the same
bytes, and a change of one layer does not affect the others. Fans are those of torch.nn.init.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Parameter

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Scheme:
    """Initialisation of one layer's weights and biases.

    `framework` is PyTorch's default: both uniform in +-1 / sqrt(fan_in). The others draw the weights, times `scale`,
    and the biases around `bias` with deviation `bias_std`. Sources: Glorot and Bengio 2010 (xavier), He et al. 2015
    (kaiming, for ReLU).
    """

    kind: Literal["framework", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "gaussian"] = (
        "framework"
    )
    std: float = 0.01
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    bias: float = 0.0
    bias_std: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Init:
    """The scheme of each node by name, and the default."""

    default: Scheme = Scheme()
    by_node: Mapping[str, Scheme] = field(default_factory=dict)


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
    fan_in = p.fan_in or 1
    fan_out = p.shape[0] * math.prod(p.shape[2:])
    fan = fan_in if scheme.mode == "fan_in" else fan_out
    match scheme.kind:
        case "framework":
            return stream.uniform(-1, 1, p.shape) / math.sqrt(fan_in)
        case "gaussian":
            std = scheme.std
        case "xavier_uniform" | "xavier_normal":
            std = math.sqrt(2 / (fan_in + fan_out))
        case "kaiming_uniform" | "kaiming_normal":
            std = math.sqrt(2 / fan)
    if scheme.kind.endswith("uniform"):
        # A uniform distribution of this deviation has the bound sqrt(3) times as large.
        return stream.uniform(-1, 1, p.shape) * (math.sqrt(3) * std * scheme.scale)
    return stream.standard_normal(p.shape) * (std * scheme.scale)


def _biases(p: Parameter, scheme: Scheme, stream: np.random.Generator) -> Array:
    if scheme.kind == "framework":
        return stream.uniform(-1, 1, p.shape) / math.sqrt(p.fan_in or 1)
    return scheme.bias + scheme.bias_std * stream.standard_normal(p.shape)
