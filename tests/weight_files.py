"""A small network, and its weights as other programs would save them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from oracle_graphs import ORACLES, hash_weights
from safetensors.torch import save_file

from nin_spec.diagnostics import Code, WeightsError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import DType, TensorType
from nin_spec.weights import Adoption, adopt

Arrays = dict[str, np.ndarray[Any, Any]]

NAMES = ("conv1", "norm", "act", "mix1", "mix2", "scores")
"""What another program might call the layers of `small` that own tensors."""


def small(dtype: DType = "float32") -> Graph:
    """Every kind of parameter, and two layers (blocks.0.convs.1 and .2) that only their order tells apart."""
    graph = Graph("small", TensorType((3, 8, 8), dtype))
    steps: list[tuple[str, ops.Op]] = [
        ("blocks.0.convs.0", ops.Conv2d(8, (5, 5), bias=False)),
        ("blocks.0.norms.0", ops.BatchNorm()),
        ("blocks.0.activations.0", ops.PReLU(per_channel=True, init=0.1)),
        ("blocks.0.convs.1", ops.Conv2d(8, (1, 1))),
        ("blocks.0.convs.2", ops.Conv2d(8, (1, 1))),
        ("head.pool", ops.AdaptiveAvgPool2d()),
        ("head.flatten", ops.Flatten()),
        ("head.dense.0", ops.Linear(4)),
    ]
    for name, op in steps:
        graph = graph.then(name, op)
    return graph


def values(graph: Graph) -> Arrays:
    """Distinct numbers for each parameter."""
    return {name: array.astype(graph.input.dtype) for name, array in hash_weights(graph).items()}


def foreign(graph: Graph, names: tuple[str, ...] = NAMES, prefix: str = "") -> Arrays:
    """The parameters of `small` under other names, in layer order."""
    own = [node.name for node in graph if node.parameters()]
    renamed = dict(zip(own, names, strict=True))
    return {
        f"{prefix}{renamed[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": array
        for name, array in values(graph).items()
    }


def take(tensors: Mapping[str, Any], graph: Graph, *, ordered: bool = True) -> Adoption:
    """Adopt from a file that is called `file`."""
    return adopt(tensors, graph, "file", ordered=ordered)


def refused(code: Code, match: str) -> pytest.RaisesExc[WeightsError]:
    """A WeightsError of that code, with that in its message."""
    return pytest.raises(WeightsError, match=match, check=lambda e: {d.code for d in e.diagnostics} == {code})


def assert_same(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Equal names in equal order, equal numbers and dtypes."""
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
        assert got[name].dtype == array.dtype


def build_record() -> ModuleType:
    """The oracles' own builder."""
    spec = importlib.util.spec_from_file_location("build_record", ORACLES / "build_record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved_pt(state: Mapping[str, Any], path: Path) -> None:
    """As torch.save writes it."""
    torch.save(state, path)


def saved_safetensors(state: Mapping[str, Any], path: Path) -> None:
    """As safetensors.torch.save_file writes it."""
    save_file({name: t.contiguous() for name, t in state.items()}, path)
