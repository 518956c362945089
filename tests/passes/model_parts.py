"""Models for the tests of passes: graphs with weights that show every mistake, in float64."""

from __future__ import annotations

import numpy as np
import torch

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import TensorType
from nin_spec.model import Model, ModelCard, Preprocessing
from nin_spec.torch_module import build_module

CONTRACT = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


def graph_of(*steps: ops.Op, size: tuple[int, ...] = (3, 8, 8), open_size: bool = False) -> Graph:
    """A graph of these ops, each named for its place and kind."""
    graph = Graph("net", TensorType(size, "float64"), open_size=open_size)
    for i, op in enumerate(steps):
        graph = graph.then(f"layers.{i}", op)
    return graph


def random_weights(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers that no fold survives by luck: means far from zero, variances far from one."""
    random = np.random.default_rng(seed)
    return {
        name: random.uniform(0.3, 3, p.shape) if p.role == "var" else random.normal(0.3, 1, p.shape)
        for name, p in graph.parameters().items()
    }


def model_of(graph: Graph, contract: Preprocessing = CONTRACT, seed: int = 0) -> Model:
    """A model of a graph in float64."""
    return Model(graph, random_weights(graph, seed), ModelCard(graph.name, "", "", "", 1, preprocessing=contract))


def run(model: Model, x: np.ndarray) -> np.ndarray:
    """What a model computes in float64."""
    with torch.inference_mode():
        found: np.ndarray = build_module(model).double()(torch.from_numpy(x.astype(np.float64))).numpy()
    return found


def sample(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Three random inputs."""
    return np.random.default_rng(seed).standard_normal((3, *shape))


def assert_same(before: Model, after: Model) -> None:
    """Both compute one function of one input, to 1e-9 of its largest value."""
    x = sample(before.graph.input.shape)
    wanted = run(before, x)
    assert np.abs(run(after, x) - wanted).max(initial=0) <= 1e-9 * max(1.0, np.abs(wanted).max(initial=0))
