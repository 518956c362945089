"""What OpenVINO computes wrongly in a file: refused when it is opened, as the scores would be off without a word.

Each fault is a row of `nin_spec.provider_gaps`. A file that is exported for the device has none of those for which the
row says how it is written instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nin_spec.provider_gaps import CEIL_POOLS, CHANNEL_ORDER, COUNTED_ZEROS, FRACTIONAL_LRN
from nin_spec.runtime.model_file import read_model

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_POOLS = {"AveragePool", "MaxPool"}


def faults(source: bytes | str) -> tuple[str, ...]:
    """The names of the faults that a file meets, each once. Reads the file."""
    proto = read_model(source)
    orders = _orders(proto)
    quantised = {value for node in proto.graph.node if node.op_type == "DequantizeLinear" for value in node.output}
    found = (_fault(node, orders, quantised) for node in proto.graph.node)
    return tuple(dict.fromkeys(name for name in found if name))


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
