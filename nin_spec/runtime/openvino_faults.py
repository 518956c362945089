"""What OpenVINO computes wrongly in a file: refused when it is opened, as the scores would be off without a word.

Each fault is a row of `nin_spec.provider_gaps`. A file that is exported for the device has none of those for which the
row says how it is written instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nin_spec.provider_gaps import CEIL_POOLS, CHANNEL_ORDER, COUNTED_ZEROS, FRACTIONAL_LRN, POOLED_ACTIVATION
from nin_spec.runtime.fusions import ACTIVATIONS
from nin_spec.runtime.model_file import read_model
from nin_spec.runtime.upstream import MERGED, behind, makers_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_POOLS = {"AveragePool", "MaxPool"}
_FALLING = {"Abs", "FastGelu", "Gelu", "HardSwish", "Mish", "QuickGelu", "Swish"}
"""Activations that are not monotone."""
_BY_ELEMENT = {*MERGED, *ACTIVATIONS, "Neg", "QuantizeLinear", "DequantizeLinear"}


def faults(source: bytes | str) -> tuple[str, ...]:
    """The names of the faults that a file meets, each once. Reads the file."""
    proto = read_model(source)
    orders = _orders(proto)
    quantised = {value for node in proto.graph.node if node.op_type == "DequantizeLinear" for value in node.output}
    found = [_fault(node, orders, quantised) for node in proto.graph.node]
    if _falls_after_a_pool(proto):
        found.append(POOLED_ACTIVATION)
    return tuple(dict.fromkeys(name for name in found if name))


def _falls_after_a_pool(proto: ModelProto) -> bool:
    """True if a max pool of a convolution's maps is followed by an activation that may fall: x times a gate of x."""
    makers = makers_of(proto)

    def pooled(node: NodeProto) -> bool:
        return node.op_type == "MaxPool" and behind(node, makers, lambda at: at.op_type == "Conv", _BY_ELEMENT)

    def falls(node: NodeProto) -> bool:
        computed = {value for value in node.input if value in makers and makers[value].op_type != "Constant"}
        slope = next((a.f for a in node.attribute if a.name == "alpha"), 0.0)
        gated = node.op_type == "Mul" and len(computed) > 1
        return node.op_type in _FALLING or gated or (node.op_type == "LeakyRelu" and slope < 0)

    return any(falls(node) and behind(node, makers, pooled, _BY_ELEMENT) for node in proto.graph.node)


def _fault(node: NodeProto, orders: dict[str, list[int]], quantised: set[str]) -> str:
    given = {a.name: _value(a) for a in node.attribute}
    if node.op_type == "LRN" and not float(given.get("bias", 1.0)).is_integer():
        return FRACTIONAL_LRN
    if node.op_type in _POOLS and given.get("ceil_mode", 0):
        return CEIL_POOLS
    if (
        node.op_type == "AveragePool"
        and quantised.intersection(node.input)
        and given.get("count_include_pad", 0)
        and any(given.get("pads", ()))
    ):
        return COUNTED_ZEROS
    order = orders.get(node.input[1], []) if node.op_type == "Gather" and given.get("axis", 0) == 1 else []
    if any(order[k] >= len(order) or order[order[k]] != k for k in range(len(order))):
        return CHANNEL_ORDER
    return ""


def _value(attribute: Any) -> Any:
    from onnx import helper

    return helper.get_attribute_value(attribute)


def _orders(proto: ModelProto) -> dict[str, list[int]]:
    """The constant lists of integers that a Gather takes."""
    from onnx import numpy_helper

    taken = {node.input[1] for node in proto.graph.node if node.op_type == "Gather"}
    held = (tensor for tensor in proto.graph.initializer if tensor.name in taken and len(tensor.dims) == 1)
    return {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in held}
