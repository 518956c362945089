"""Networks of other tools, made by the test: chains, ONNX graphs by hand, and what PyTorch's exporters write."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nin_spec.importers.chain import Chain
from nin_spec.model import Model


def chain_of(model: Model) -> Chain:
    """A model as a front end would find it."""
    card, graph = model.card, model.graph
    chain = Chain(card.name, graph.input, (), graph.open_size, card.labels, card.preprocessing)
    for node in graph:
        names = [p.name for p in node.op.parameters(node.input)]
        chain = chain.then(node.op, node.name, **{name: model.weights[f"{node.name}.{name}"] for name in names})
    return chain


def graph_file(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str], dict[str, Any]]],
    constants: dict[str, Any],
    shape: Sequence[int | str] = ("n", 3, 8, 8),
    outputs: Sequence[str] = ("y",),
) -> Path:
    """An ONNX file from (operator, inputs, outputs, attributes) and arrays; the input is `x`."""
    made = [
        helper.make_node(op, ins, outs, name=f"{op}_{k}", **attrs) for k, (op, ins, outs, attrs) in enumerate(nodes)
    ]
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    tensors = [
        numpy_helper.from_array(v.astype(np.float32) if v.dtype == np.float64 else v, name)
        for name, v in arrays.items()
    ]
    graph = helper.make_graph(
        made,
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 15)]), path)
    return path


def torch_file(path: Path, net: nn.Module, shape: Sequence[int], *, dynamo: bool, opset: int | None = None) -> Path:
    """What torch.onnx.export writes of a module, by either of its exporters."""
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    x = torch.zeros((2, *shape), dtype=next(net.parameters()).dtype)
    version: dict[str, Any] = {} if opset is None else {"opset_version": opset}
    with quiet[0], quiet[1], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            dims = ({0: torch.export.Dim("batch")},)
            torch.onnx.export(
                net.eval(), (x,), path, dynamo=True, verbose=False, external_data=False, dynamic_shapes=dims, **version
            )
        else:
            axes = {"input": {0: "batch"}}
            torch.onnx.export(net.eval(), (x,), path, dynamo=False, input_names=["input"], dynamic_axes=axes, **version)
    return path
