"""The rule about the start of training: how much of the input reaches the scores with initial weights.

A layer multiplies the mean square of what goes through it by fan_in * Var(weight), and the ReLU after it by
one half (He et al. 2015, section 2.2). Batch norm resets it to 1. If almost nothing arrives, all pictures get the same
scores, and gradients, which pass through the same factors, are as small: the loss stays at ln(classes) for long or
forever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nin_spec.diagnostics import Code, Severity, Span
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.types import Parameter
from nin_spec.lint.finding import Finding, Subject, path_of
from nin_spec.schemes import Scheme, deviation

LEAST = 1e-4
"""The least mean square at the scores for an input with mean square 1.

Measured with 9 layers on the digits, SGD at a rate of 0.1 with momentum: from 3e-3 the loss began to fall after 570
steps; at 1e-3 and below it did not in 6,000. The limit is lower: published networks at 5e-4 do learn.
"""

DEEP = 6
"""Layers with a ReLU that make a network deep."""


def dead_start(subject: Subject) -> Iterator[Finding]:
    """NIN911: weights so small that the scores hardly depend on the picture."""
    rest = subject.nodes[_last_norm(subject) :]
    rectified = sum(isinstance(n.op, ops.ReLU | ops.LeakyReLU) for n in rest)
    begins = spread(subject) if len(rest) == len(subject.nodes) else 1.0
    arrives = begins * math.sqrt(math.prod(_factor(subject, node) for node in rest))
    if rectified < DEEP or arrives >= LEAST:
        return
    kinds = dict.fromkeys(str(_init(subject, n).kind) for n in rest if isinstance(n.op, ops.Conv2d | ops.Linear))
    classes, train = subject.network.spec.spec.class_count, subject.network.spec.spec.train
    by_adam = train is not None and train.optimizer.kind != "sgd"
    loss = f"ln({classes}) = {math.log(classes):.3f}"
    yield Finding(
        Code.DEAD_START,
        f"the {' and '.join(kinds)} initialisation lets {arrives:.0e} of a picture through {rectified} layers with "
        f"a ReLU: {'only Adam moves the loss away from' if by_adam else 'the loss stays at'} {loss}",
        _position(subject),
        "set init: kaiming_normal, or norm: batch, in defaults",
        severity=Severity.NOTE if by_adam else Severity.WARNING,
    )


def spread(subject: Subject) -> float:
    """The typical spread of the input's pixels: a quarter of their range, as `preprocess` scales it."""
    contract = subject.network.spec.spec.input.preprocess
    if contract.dtype != "uint8":
        return 1.0
    stds = contract.std if isinstance(contract.std, list) else [contract.std]
    return abs(64 * contract.scale * len(stds) / sum(stds))


def _last_norm(subject: Subject) -> int:
    """The index after the last batch norm, which resets the mean square to 1."""
    norms = (k for k, n in enumerate(subject.nodes) if isinstance(n.op, ops.BatchNorm))
    return max(norms, default=-1) + 1


def _factor(subject: Subject, node: Node) -> float:
    """The factor by which a layer multiplies the mean square."""
    match node.op:
        case ops.Conv2d() | ops.Linear():
            weight = node.op.parameters(node.input)[0]
            return (weight.fan_in or 1) * variance(_init(subject, node), weight)
        case ops.ReLU():
            return 0.5
        case ops.LeakyReLU(slope=slope):
            return (1 + slope * slope) / 2
        case _:
            return 1.0


def _init(subject: Subject, node: Node) -> Any:
    """The initialisation of a layer in the canonical form."""
    top, index, *rest = path_of(node.name)[:4]
    spec = subject.network.spec.spec
    if top == "blocks":
        return (spec.blocks[int(index)].convs or [])[int(rest[1])].init
    return spec.head.dense[int(rest[0])].init


def variance(init: Any, weight: Parameter) -> float:
    """The variance of a weight tensor under a scheme, as nin_spec.weights.initial draws it."""
    scheme = Scheme(**init.model_dump())
    return (deviation(scheme, weight) * scheme.scale) ** 2


def _position(subject: Subject) -> Span:
    """The span of the first layer's initialisation, else of the layer."""
    return subject.where("blocks", _first(subject), "convs", 0, "init", "kind")


def _first(subject: Subject) -> int:
    blocks = subject.network.spec.spec.blocks
    return next((i for i, block in enumerate(blocks) if block.convs), 0)
