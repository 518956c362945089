"""The oracle records as graphs, with the golden rule's weights and inputs in NumPy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import DType, Padding, Pair, TensorType

ORACLES = Path(__file__).parent / "oracles"
Layer = dict[str, Any]


def record(name: str) -> dict[str, Any]:
    """One architecture's record."""
    found: dict[str, Any] = json.loads((ORACLES / "records" / f"{name}.json").read_text())
    return found


@cache
def goldens() -> dict[str, dict[str, Any]]:
    """Every golden by its record's name."""
    found: dict[str, dict[str, Any]] = json.loads((ORACLES / "golden.json").read_text())["records"]
    return found


def golden(name: str) -> dict[str, Any]:
    """The golden facts of one record."""
    return goldens()[name]


def golden_names() -> list[str]:
    """The records that have a golden, in alphabetical order."""
    return sorted(goldens())


# ------------------------------------------------------------------ record -> graph


def _pair(value: int | list[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _padding(value: int | list[int]) -> Padding:
    """An int, [vertical, horizontal] or [left, right, top, bottom]."""
    if isinstance(value, int):
        return Padding(value, value, value, value)
    if len(value) == 2:
        vertical, horizontal = value
        return Padding(vertical, vertical, horizontal, horizontal)
    left, right, top, bottom = value
    return Padding(top, bottom, left, right)


def _conv(d: Layer) -> ops.Op:
    return ops.Conv2d(
        d["out"],
        _pair(d["kernel"]),
        _pair(d["stride"]),
        _padding(d["padding"]),
        _pair(d.get("dilation", 1)),
        d.get("groups", 1),
        d["bias"],
    )


def _batch_norm(d: Layer) -> ops.Op:
    return ops.BatchNorm(d["eps"], scale=d["affine"] and not d.get("fix_gamma", False), shift=d["affine"])


def _window(d: Layer) -> tuple[Pair, Pair, Padding, bool]:
    return _pair(d["kernel"]), _pair(d["stride"]), _padding(d["padding"]), d["ceil_mode"]


_OPS: dict[str, Callable[[Layer], ops.Op]] = {
    "conv": _conv,
    "linear": lambda d: ops.Linear(d["out"], d["bias"]),
    "batchnorm": _batch_norm,
    "batchnorm1d": _batch_norm,
    "maxpool": lambda d: ops.MaxPool2d(*_window(d)),
    "avgpool": lambda d: ops.AvgPool2d(*_window(d), d["count_include_pad"]),
    "relu": lambda _: ops.ReLU(),
    "elu": lambda d: ops.ELU(d["alpha"]),
    "leaky_relu": lambda d: ops.LeakyReLU(d["slope"]),
    "prelu": lambda d: ops.PReLU(d["num_parameters"] > 1, d["init"]),
    "mish": lambda _: ops.Mish(),
    "sigmoid": lambda _: ops.Sigmoid(),
    "maxout": lambda d: ops.Maxout(d["pieces"]),
    "channel_shuffle": lambda d: ops.ChannelShuffle(d["groups"]),
    "dropout": lambda d: ops.Dropout(d["p"]),
    "dropout2d": lambda d: ops.Dropout2d(d["p"]),
    "global_avg_pool": lambda _: ops.AdaptiveAvgPool2d(),
    "flatten": lambda _: ops.Flatten(),
    "softmax": lambda _: ops.Softmax(),
    "log_softmax": lambda _: ops.LogSoftmax(),
}


def oracle_graph(name: str, dtype: DType = "float64") -> Graph:
    """A record as a graph: node k, `layers.k`, is the record's layer k."""
    facts = record(name)
    graph = Graph(facts["name"], TensorType(tuple(facts["input"]), dtype))
    for k, layer in enumerate(facts["layers"]):
        graph = graph.then(f"layers.{k}", _OPS[layer["op"]](layer))
    return graph


# ------------------------------------------------------------------ the golden rule


def hash_unit(count: int, k: int) -> NDArray[np.float64]:
    """Uniform [0, 1) numbers by 32-bit integer mixing; `k` tells streams apart."""
    mask = np.uint64(0xFFFFFFFF)
    x = (np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B1) + np.uint64(k * 0x85EBCA77 + 1)) & mask
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & mask
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & mask
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 4294967296.0


_RULE: dict[str, Callable[[NDArray[np.float64], int | None], NDArray[np.float64]]] = {
    "weight": lambda c, fan_in: c * math.sqrt(6 / (fan_in or 1)),
    "bias": lambda c, _: 0.1 * c,
    "scale": lambda c, _: 1 + 0.1 * c,
    "shift": lambda c, _: 0.1 * c,
    "mean": lambda c, _: 0.1 * c,
    "var": lambda c, _: 1 + 0.1 * np.abs(c),
    "slope": lambda c, _: 0.25 + 0.1 * c,
}


def hash_weights(graph: Graph) -> dict[str, NDArray[np.float64]]:
    """The golden rule's values, float64: tensor k in layer order, from stream k, by its role."""
    return {
        name: _RULE[p.role](2 * hash_unit(p.size, k) - 1, p.fan_in).reshape(p.shape)
        for k, (name, p) in enumerate(graph.parameters().items())
    }


def hash_input(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The golden rule's input, (1, *shape), in [-1, 1)."""
    return (2 * hash_unit(math.prod(shape), 1000) - 1).reshape(1, *shape)
