"""A float32 file made into one of half numbers (IEEE binary16): typed weights and arithmetic.

Input and scores stay float32, so that clients need not know: two casts cost nothing beside a convolution.
onnxruntime.transformers has such a conversion; it cuts weights that are too large to 65504, raises those
that are too small to 6e-8, tells neither, and changes sys.path when imported.
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
_FULL_OPS = {"Cast", "Softmax", "LogSoftmax", "Exp", "TopK", "ArgMax", "Identity"}
"""What stays in float32: a probability below 6e-8 would be 0 in half. Identity only gives one another name."""


def to_float16(data: bytes) -> tuple[bytes, list[str]]:
    """The file in half numbers, and what its weights lost. Raises ExportError for a weight beyond 65504."""
    proto = load_from_string(data)
    floats = _floats(proto)
    remarks = _halve_weights(proto)
    _halve_nodes(proto, floats)
    written: bytes = proto.SerializeToString(deterministic=True)
    return written, remarks


def too_large(what: str, span: Span | None = None) -> ExportError:
    """The error of a number that half doesn't have."""
    message = f"{what}, and float16 ends at {LARGEST:g}"
    hint = "ask for --precision bfloat16, which has float32's range, or float32"
    return ExportError(Code.EXPORT_OPTION, message, span, hint)


# ------------------------------------------------------------------ weights


def _halve_weights(proto: ModelProto) -> list[str]:
    """Every float32 initializer in half, in place; what was lost."""
    total, gone, fewer = 0, 0, 0
    for tensor in (t for t in proto.graph.initializer if t.data_type == _FULL):
        array = numpy_helper.to_array(tensor)
        size = float(np.abs(array).max(initial=0.0))
        if not size <= LARGEST:
            raise too_large(f"{tensor.name} holds a weight of magnitude {size:.3g}")
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
    """Nodes being written, and by value and type the name under which a value is had in that type."""

    outputs: frozenset[str]
    names: dict[tuple[str, int], str]
    nodes: list[NodeProto] = field(default_factory=list)

    def had(self, value: str, kind: int) -> str:
        """The name of a value in that type, cast if it is not there yet."""
        if (value, kind) not in self.names:
            name = self.free(value, kind)
            source = self.names[value, _HALF if kind == _FULL else _FULL]
            node = f"{value}/{_SUFFIX[kind]}"  # an output's own name may be that of the node that makes it
            self.nodes.append(helper.make_node("Cast", [source], [name], name=node, to=kind))
            self.names[value, kind] = name
        return self.names[value, kind]

    def free(self, value: str, kind: int) -> str:
        """Under which name a value is made by a cast: an output of the file keeps its own, in float32."""
        return value if kind == _FULL and value in self.outputs else f"{value}/{_SUFFIX[kind]}"

    def add(self, node: NodeProto, floats: frozenset[str]) -> None:
        """A node that computes in half, or in float32 where half won't do."""
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
    """Every node in half, in place, with casts at the input and at the outputs."""
    graph = proto.graph
    outputs = [o.name for o in graph.output if o.name in floats]
    casting = _Casting(frozenset(outputs), {(i.name, _FULL): i.name for i in graph.input if i.name in floats})
    for node in graph.node:
        casting.add(node, floats)
    for name in outputs:
        casting.had(name, _FULL)
    graph.ClearField("node")
    graph.ClearField("value_info")  # of types that are no longer theirs
    graph.node.extend(casting.nodes)


def _floats(proto: ModelProto) -> frozenset[str]:
    """The float32 values of a file, its weights left out."""
    graph = shape_inference.infer_shapes(proto, strict_mode=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return frozenset(v.name for v in values if v.type.tensor_type.elem_type == _FULL)
