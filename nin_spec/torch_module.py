"""Models as nn.Modules: the only module that builds torch layers, and the reference for every back end.

One rule per op, found by its type. Layers are PyTorch's if those compute the op exactly;
`torch_layers.py` has the rest. Names are the graph's, so a `state_dict` has our parameter names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from nin_spec import torch_layers as layers
from nin_spec.diagnostics import Code, ExportError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import TensorType
from nin_spec.model import Model
from nin_spec.notebook import cut

Rule = Callable[[Any, TensorType], nn.Module]


def _conv(op: ops.Conv2d, x: TensorType) -> nn.Module:
    channels, p = x.shape[0], op.padding
    shape = (channels, op.out_channels, op.kernel_size, op.stride)
    rest = (op.dilation, op.groups, op.bias)
    if p.symmetric:
        return nn.Conv2d(*shape, (p.top, p.left), *rest)
    return layers.PaddedConv2d(*shape, 0, *rest, pads=p.lrtb)


def _batch_norm(op: ops.BatchNorm, x: TensorType) -> nn.Module:
    kind = nn.BatchNorm2d if x.is_map else nn.BatchNorm1d
    norm = kind(x.shape[0], op.eps, op.momentum, affine=op.scale or op.shift)
    # PyTorch has both or none: a missing one keeps its neutral value, and is not a parameter.
    if not op.scale:
        norm.register_parameter("weight", None)
    if not op.shift:
        norm.register_parameter("bias", None)
    return norm


def _max_pool(op: ops.MaxPool2d, _: TensorType) -> nn.Module:
    if op.even:
        return nn.MaxPool2d(op.kernel_size, op.stride, (op.padding.top, op.padding.left), ceil_mode=op.ceil_mode)
    return layers.UnevenPool2d(op.kernel_size, op.stride, op.padding.lrtb, ceil_mode=op.ceil_mode)


def _avg_pool(op: ops.AvgPool2d, _: TensorType) -> nn.Module:
    how = {"ceil_mode": op.ceil_mode, "count_include_pad": op.count_include_pad}
    if op.even:
        return nn.AvgPool2d(op.kernel_size, op.stride, (op.padding.top, op.padding.left), **how)
    return layers.UnevenPool2d(op.kernel_size, op.stride, op.padding.lrtb, **how)


RULES: dict[type[ops.Op], Rule] = {
    ops.Conv2d: _conv,
    Affine: lambda op, x: layers.Affine(x.shape[0], scale=op.scale, shift=op.shift),
    ChannelOrder: lambda op, _: layers.ChannelOrder(op.order),
    ops.Linear: lambda op, x: nn.Linear(x.shape[0], op.out_features, op.bias),
    ops.BatchNorm: _batch_norm,
    ops.LocalResponseNorm: lambda op, _: nn.LocalResponseNorm(op.size, op.alpha, op.beta, op.k),
    ops.ReLU: lambda _, __: nn.ReLU(),
    ops.LeakyReLU: lambda op, _: nn.LeakyReLU(op.slope),
    ops.PReLU: lambda op, x: nn.PReLU(x.shape[0] if op.per_channel else 1, op.init),
    ops.ELU: lambda op, _: nn.ELU(op.alpha),
    ops.GELU: lambda op, _: nn.GELU("tanh" if op.approximate else "none"),
    ops.SiLU: lambda _, __: nn.SiLU(),
    ops.Hardswish: lambda _, __: nn.Hardswish(),
    ops.Mish: lambda _, __: nn.Mish(),
    ops.Sigmoid: lambda _, __: nn.Sigmoid(),
    ops.Tanh: lambda _, __: nn.Tanh(),
    ops.Maxout: lambda op, _: layers.Maxout(op.pieces),
    ops.MaxPool2d: _max_pool,
    ops.AvgPool2d: _avg_pool,
    ops.AdaptiveAvgPool2d: lambda _, __: nn.AdaptiveAvgPool2d(1),
    ops.AdaptiveMaxPool2d: lambda _, __: nn.AdaptiveMaxPool2d(1),
    ops.Dropout: lambda op, _: nn.Dropout(op.p),
    ops.Dropout2d: lambda op, _: nn.Dropout2d(op.p),
    ops.ChannelShuffle: lambda op, _: nn.ChannelShuffle(op.groups),
    ops.Flatten: lambda _, __: nn.Flatten(),
    Temperature: lambda op, _: layers.Temperature(op.value),
    ops.Softmax: lambda _, __: nn.Softmax(1),
    ops.LogSoftmax: lambda _, __: nn.LogSoftmax(1),
}


class NiNModule(nn.Module):
    """A network as a chain of layers under the graph's names. Maps (N, C, H, W) to (N, classes)."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.order = tuple(node.name for node in graph)
        for node in graph:
            _place(self, node.name, _layer(node))

    def __repr__(self) -> str:
        return cut(super().__repr__().split("\n"), "lines: see `modules()`")

    def forward(self, x: Tensor) -> Tensor:
        """The scores of a batch."""
        for _, value in self.trace(x):
            x = value
        return x

    def trace(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each node's name and output, in order."""
        for name in self.order:
            x = self.get_submodule(name)(x)
            yield name, x


def _layer(node: Node) -> nn.Module:
    rule = RULES.get(type(node.op))
    if rule is None:
        message = f"{node.name}: no torch layer for {node.kind}"
        raise ExportError(Code.EXPORT_UNSUPPORTED, message, node.span)
    return rule(node.op, node.input)


def _place(root: nn.Module, name: str, layer: nn.Module) -> None:
    """Register a layer under a dotted name, creating containers as needed."""
    *path, last = name.split(".")
    for part in path:
        below = dict(root.named_children()).get(part)  # a child may have the name of a method of Module
        if below is None:
            below = nn.Module()
            root.add_module(part, below)
        root = below
    root.add_module(last, layer)


def build_module(model: Model | Graph) -> NiNModule:
    """The nn.Module of a model with its weights, or of a graph with PyTorch's initial weights.

    In evaluation mode; the dtype is the graph's. Raises ExportError for an op without a rule.
    """
    graph = model.graph if isinstance(model, Model) else model
    module = NiNModule(graph).to(cast("torch.dtype", getattr(torch, graph.input.dtype)))
    if isinstance(model, Model):
        # A copy: training must not reach back into the model.
        module.load_state_dict({name: torch.tensor(array) for name, array in model.weights.items()}, strict=True)
    return module.eval()
