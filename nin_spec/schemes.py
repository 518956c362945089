"""Initialisation schemes of weights, and their standard deviations. Fans are those of torch.nn.init."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nin_spec.ir.types import Parameter


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


def deviation(scheme: Scheme, weight: Parameter) -> float:
    """The standard deviation of a weight tensor under a scheme, before `scale`."""
    fan_in, fan_out = weight.fan_in or 1, weight.shape[0] * math.prod(weight.shape[2:])
    match scheme.kind:
        case "framework":
            return 1 / math.sqrt(3 * fan_in)
        case "gaussian":
            return scheme.std
        case "xavier_uniform" | "xavier_normal":
            return math.sqrt(2 / (fan_in + fan_out))
        case "kaiming_uniform" | "kaiming_normal":
            return math.sqrt(2 / (fan_in if scheme.mode == "fan_in" else fan_out))
