"""How each op is written in ONNX: one rule per op, found by its type.

Every rule keeps the function exactly. Where opsets differ, the rule writes what the one at hand has:
Hardswish is an op from opset 14, Mish from 18, GELU from 20.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import numpy as np

from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporters.onnx_convolutions import write_conv
from nin_spec.exporters.onnx_lowering import lowered
from nin_spec.exporters.onnx_pools import choose
from nin_spec.exporters.onnx_writer import Writer
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.temperature import Temperature

Rule = Callable[[Writer, Node, Any], None]
RULES: dict[type[ops.Op], Rule] = {}
_OpT = TypeVar("_OpT", bound=ops.Op)


def rule(kind: type[_OpT]) -> Callable[[Callable[[Writer, Node, _OpT], None]], Callable[[Writer, Node, _OpT], None]]:
    """Register the rule of an op."""

    def register(function: Callable[[Writer, Node, _OpT], None]) -> Callable[[Writer, Node, _OpT], None]:
        RULES[kind] = function
        return function

    return register


def write(w: Writer, node: Node) -> None:
    """Write one op: for the file's devices, else by its rule. Raises ExportError, at the spec's line, for no rule."""
    found = RULES.get(type(node.op))
    if found is None:
        message = f"{node.name}: the ONNX exporter has no rule for {node.kind}"
        raise ExportError(Code.EXPORT_UNSUPPORTED, message, node.span)
    if not lowered(w, node):
        found(w, node, node.op)
    w.chain.append(node)


# ------------------------------------------------------------------ with weights


rule(ops.Conv2d)(write_conv)


@rule(ops.Linear)
def _linear(w: Writer, node: Node, op: ops.Linear) -> None:
    inputs = [w.parameter(node, p.name) for p in op.parameters(node.input)]
    w.add("Gemm", node, *inputs, transB=1)


@rule(ops.BatchNorm)
def _batch_norm(w: Writer, node: Node, op: ops.BatchNorm) -> None:
    features = node.input.shape[0]
    scale = w.parameter(node, "weight") if op.scale else w.constant(f"{node.name}/ones", np.ones(features))
    shift = w.parameter(node, "bias") if op.shift else w.constant(f"{node.name}/zeros", np.zeros(features))
    mean, var = w.parameter(node, "running_mean"), w.parameter(node, "running_var")
    w.add("BatchNormalization", node, scale, shift, mean, var, epsilon=op.eps)


@rule(Affine)
def _affine(w: Writer, node: Node, op: Affine) -> None:
    shape = (-1, 1, 1) if node.input.is_map else (-1,)
    for name, kind, there in (("weight", "Mul", op.scale), ("bias", "Add", op.shift)):
        if there:
            full = f"{node.name}.{name}"
            part = "scaled" if op.shift and kind == "Mul" else ""
            w.add(kind, node, w.constant(full, w.weights[full].reshape(shape)), part=part)


@rule(ops.LocalResponseNorm)
def _lrn(w: Writer, node: Node, op: ops.LocalResponseNorm) -> None:
    w.add("LRN", node, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)


@rule(ops.PReLU)
def _prelu(w: Writer, node: Node, op: ops.PReLU) -> None:
    slope = w.weights[f"{node.name}.weight"]
    # One slope per channel must broadcast over the map's cells.
    shape = (-1, 1, 1) if op.per_channel and node.input.is_map else (-1,)
    w.add("PRelu", node, w.constant(f"{node.name}.weight", slope.reshape(shape)))


# ------------------------------------------------------------------ activations


@rule(ops.ReLU)
def _relu(w: Writer, node: Node, _: ops.ReLU) -> None:
    w.add("Relu", node)


@rule(ops.LeakyReLU)
def _leaky_relu(w: Writer, node: Node, op: ops.LeakyReLU) -> None:
    if w.dtype == np.float32:
        w.add("LeakyRelu", node, alpha=op.slope)
    else:  # an attribute has 32 bits, which would limit the precision of the slope
        w.add("PRelu", node, _number(w, node, "slope", op.slope))


@rule(ops.ELU)
def _elu(w: Writer, node: Node, op: ops.ELU) -> None:
    w.add("Elu", node, alpha=op.alpha)


@rule(ops.GELU)
def _gelu(w: Writer, node: Node, op: ops.GELU) -> None:
    if w.opset >= 20:
        w.add("Gelu", node, approximate="tanh" if op.approximate else "none")
    elif op.approximate:
        _gelu_tanh(w, node)
    else:
        x = w.value
        w.add("Mul", node, _number(w, node, "sqrt_half", math.sqrt(0.5)), part="scaled")
        w.add("Erf", node, part="erf")
        w.add("Add", node, _number(w, node, "one", 1.0), part="cdf")
        w.add("Mul", node, x, part="product")
        w.add("Mul", node, _number(w, node, "half", 0.5))


def _gelu_tanh(w: Writer, node: Node) -> None:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016)."""
    x = w.value
    w.add("Mul", node, x, part="square")
    w.add("Mul", node, _number(w, node, "cubic", 0.044715), part="weighted")
    w.add("Add", node, _number(w, node, "one", 1.0), part="polynomial")
    w.add("Mul", node, x, part="inner")
    w.add("Mul", node, _number(w, node, "sqrt_two_over_pi", math.sqrt(2 / math.pi)), part="scaled")
    w.add("Tanh", node, part="tanh")
    w.add("Add", node, f"{node.name}/one", part="shifted")
    w.add("Mul", node, x, part="product")
    w.add("Mul", node, _number(w, node, "half", 0.5))


def _number(w: Writer, node: Node, name: str, value: float) -> str:
    return w.constant(f"{node.name}/{name}", np.array(value))


@rule(ops.SiLU)
def _silu(w: Writer, node: Node, _: ops.SiLU) -> None:
    x = w.value
    w.add("Sigmoid", node, part="sigmoid")
    w.add("Mul", node, x)


@rule(ops.Hardswish)
def _hardswish(w: Writer, node: Node, _: ops.Hardswish) -> None:
    if w.opset >= 14 and w.dtype == np.float32:
        w.add("HardSwish", node)
        return
    x = w.value  # the op's own definition has its sixth in 32 bits
    w.add("Add", node, _number(w, node, "three", 3.0), part="shifted")
    w.add("Clip", node, _number(w, node, "zero", 0.0), _number(w, node, "six", 6.0), part="clipped")
    w.add("Mul", node, x, part="product")
    w.add("Div", node, f"{node.name}/six")


@rule(ops.Mish)
def _mish(w: Writer, node: Node, _: ops.Mish) -> None:
    if w.opset >= 18:
        w.add("Mish", node)
        return
    x = w.value
    w.add("Softplus", node, part="softplus")
    w.add("Tanh", node, part="tanh")
    w.add("Mul", node, x)


@rule(ops.Sigmoid)
def _sigmoid(w: Writer, node: Node, _: ops.Sigmoid) -> None:
    w.add("Sigmoid", node)


@rule(ops.Tanh)
def _tanh(w: Writer, node: Node, _: ops.Tanh) -> None:
    w.add("Tanh", node)


@rule(ops.Maxout)
def _maxout(w: Writer, node: Node, op: ops.Maxout) -> None:
    """Every `pieces`-th channel from each start, then their maximum: needs no knowledge of the map's size."""
    x = w.value
    end = w.constant(f"{node.name}/end", np.array([np.iinfo(np.int64).max]))
    axis = w.constant(f"{node.name}/axis", np.array([1]))
    step = w.constant(f"{node.name}/step", np.array([op.pieces]))
    parts = []
    for i in range(op.pieces):
        w.value = x
        start = w.constant(f"{node.name}/start_{i}", np.array([i]))
        parts.append(w.add("Slice", node, start, end, axis, step, part=f"piece_{i}"))
    w.value = parts[0]
    w.add("Max", node, *parts[1:])


@rule(ChannelOrder)
def _channel_order(w: Writer, node: Node, op: ChannelOrder) -> None:
    w.add("Gather", node, w.constant(f"{node.name}/order", np.array(op.order)), axis=1)


@rule(ops.ChannelShuffle)
def _channel_shuffle(w: Writer, node: Node, op: ops.ChannelShuffle) -> None:
    """The shuffle is a fixed order of the channels."""
    order = np.arange(node.input.shape[0]).reshape(op.groups, -1).T.reshape(-1)
    w.add("Gather", node, w.constant(f"{node.name}/order", order), axis=1)


# ------------------------------------------------------------------ pools


def _pool(w: Writer, node: Node, _: ops.WindowPool) -> None:
    """Write a pool in a way that the file's runtimes compute correctly."""
    choose(node, w.opset, w.runtimes, open_size=w.open_size).write(w, node)


RULES |= dict.fromkeys(get_args(ops.WindowPool), _pool)


@rule(ops.AdaptiveAvgPool2d)
def _global_average(w: Writer, node: Node, _: ops.AdaptiveAvgPool2d) -> None:
    w.add("GlobalAveragePool", node)


@rule(ops.AdaptiveMaxPool2d)
def _global_max(w: Writer, node: Node, _: ops.AdaptiveMaxPool2d) -> None:
    w.add("GlobalMaxPool", node)


# ------------------------------------------------------------------ the rest


@rule(ops.Dropout)
def _dropout(w: Writer, node: Node, _: ops.Dropout) -> None:
    w.add("Identity", node)


@rule(ops.Dropout2d)
def _dropout2d(w: Writer, node: Node, _: ops.Dropout2d) -> None:
    w.add("Identity", node)


@rule(ops.Flatten)
def _flatten(w: Writer, node: Node, _: ops.Flatten) -> None:
    w.add("Flatten", node, axis=1)


@rule(Temperature)
def _temperature(w: Writer, node: Node, op: Temperature) -> None:
    w.add("Mul", node, _number(w, node, "factor", 1 / op.value))


@rule(ops.Softmax)
def _softmax(w: Writer, node: Node, _: ops.Softmax) -> None:
    w.add("Softmax", node, axis=1)


@rule(ops.LogSoftmax)
def _log_softmax(w: Writer, node: Node, _: ops.LogSoftmax) -> None:
    w.add("LogSoftmax", node, axis=1)
