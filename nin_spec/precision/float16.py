"""Convert a float32 file to float16 (IEEE binary16): weights and arithmetic.

Input and scores stay float32, so that clients are unaffected: two casts are cheap compared to a convolution.
onnxruntime.transformers has such a conversion, but it silently clips large weights to 65504 and raises small ones to
6e-8, and changes sys.path on import.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, load_from_string, numpy_helper, shape_inference

from nin_spec.diagnostics import Code, ExportError, Span

LARGEST = float(np.finfo(np.float16).max)
SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)

_HALF, _FULL = int(TensorProto.FLOAT16), int(TensorProto.FLOAT)
_SUFFIX = {_HALF: "float16", _FULL: "float32"}
_LOG_SOFTMAX = {"LogSoftmax", "ReduceMax", "Sub", "Exp", "ReduceSum", "Log"}
_FULL_OPS = {"Cast", "Softmax", *_LOG_SOFTMAX, "TopK", "ArgMax", "Identity"}
"""Ops that stay in float32: a probability below 6e-8 would be 0 in float16. Identity only renames one."""


def to_float16(data: bytes) -> tuple[bytes, list[str]]:
    """The file in float16, and remarks on rounded weights. Raises ExportError for a weight beyond 65504."""
    proto = load_from_string(data)
    floats = _floats(proto)
    remarks = _halve_weights(proto)
    _halve_nodes(proto, floats)
    written: bytes = proto.SerializeToString(deterministic=True)
    return written, remarks


def too_large(what: str, span: Span | None = None) -> ExportError:
    """The error of a number beyond float16's range."""
    message = f"{what}; the largest float16 is {LARGEST:g}"
    hint = "pass --precision bfloat16, which has float32's range, or float32"
    return ExportError(Code.EXPORT_OPTION, message, span, hint)


# ------------------------------------------------------------------ weights


def _halve_weights(proto: ModelProto) -> list[str]:
    """Convert every float32 initializer in place; returns remarks on lost precision."""
    total, gone, fewer = 0, 0, 0
    for tensor in (t for t in proto.graph.initializer if t.data_type == _FULL):
        array = numpy_helper.to_array(tensor)
        size = float(np.abs(array).max(initial=0.0))
        if not size <= LARGEST:
            raise too_large(f"{tensor.name} has a weight of magnitude {size:.3g}")
        half = array.astype(np.float16)
        total += array.size
        gone += int(np.count_nonzero((array != 0) & (half == 0)))
        fewer += int(np.count_nonzero((half != 0) & (np.abs(half) < SMALLEST_NORMAL)))
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    zeros = [f"{gone:,} of {total:,} weights are too small for float16 and became 0"] if gone else []
    coarse = [f"{fewer:,} of {total:,} weights keep fewer than 11 bits (below {SMALLEST_NORMAL:.1e})"] if fewer else []
    return zeros + coarse


# ------------------------------------------------------------------ nodes


@dataclass
class _Casting:
    """The nodes being written, and the names of values by type."""

    outputs: frozenset[str]
    names: dict[tuple[str, int], str]
    nodes: list[NodeProto] = field(default_factory=list)

    def had(self, value: str, kind: int) -> str:
        """The name of a value in that type, with a cast if needed."""
        if (value, kind) not in self.names:
            name = self.free(value, kind)
            source = self.names[value, _HALF if kind == _FULL else _FULL]
            node = f"{value}/{_SUFFIX[kind]}"  # an output's name may be that of the node that computes it
            self.nodes.append(helper.make_node("Cast", [source], [name], name=node, to=kind))
            self.names[value, kind] = name
        return self.names[value, kind]

    def free(self, value: str, kind: int) -> str:
        """The name of a cast's result: an output of the file keeps its name, in float32."""
        return value if kind == _FULL and value in self.outputs else f"{value}/{_SUFFIX[kind]}"

    def add(self, node: NodeProto, floats: frozenset[str]) -> None:
        """Add a node that computes in float16, or in float32 if needed."""
        kind = _FULL if node.op_type in _FULL_OPS else _HALF
        made = NodeProto()
        made.CopyFrom(node)
        made.input[:] = [self.had(v, kind) if v in floats else v for v in node.input]
        for k, value in enumerate(node.output):
            if value in floats:
                self.names[value, kind] = self.free(value, kind) if value in self.outputs else value
                made.output[k] = self.names[value, kind]
        self.nodes.append(made)


def _halve_nodes(proto: ModelProto, floats: frozenset[str]) -> None:
    """Convert every node in place, with casts at the input and at the outputs."""
    graph = proto.graph
    outputs = [o.name for o in graph.output if o.name in floats]
    casting = _Casting(frozenset(outputs), {(i.name, _FULL): i.name for i in graph.input if i.name in floats})
    for node in graph.node:
        casting.add(node, floats)
    for name in outputs:
        casting.had(name, _FULL)
    graph.ClearField("node")
    graph.ClearField("value_info")  # their types are outdated
    graph.node.extend(casting.nodes)


def _floats(proto: ModelProto) -> frozenset[str]:
    """The float32 values of a file, without weights."""
    graph = shape_inference.infer_shapes(proto, strict_mode=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return frozenset(v.name for v in values if v.type.tensor_type.elem_type == _FULL)
