"""Convert a float32 file to int8 by onnxruntime's quantiser, in QDQ form.

Values are unsigned, weights signed with a scale per output channel and 7 bits. Unsigned
by signed is what every kernel of onnxruntime's CPU provider computes fastest. The 7 bits are for x86
without VNNI: its vpmaddubsw adds two products in 16 bits, where 255 * 127 * 2 saturates and 255 * 64 * 2
does not. With 8 bits the errors of the same file's scores were 15 times as large on such a machine as on others
(measured); unsigned weights, which are exact there, too, run slower than float32.

Layers after the last weights stay in float: they are cheap, and 8-bit scores would tie.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper, load_from_string, numpy_helper, shape_inference
from onnx import load as load_onnx

from nin_spec.precision.calibration import Ranges
from nin_spec.runtime.installation import import_onnxruntime

_quantization = import_onnxruntime("quantization")

WEIGHTED = ("Conv", "Gemm")
_RECTIFIERS = ("Relu", "LeakyRelu")
_QUANTISED = (*WEIGHTED, *_RECTIFIERS, "MaxPool", "AveragePool", "Pad")
"""Ops with an integer kernel; others compute in float, with converted input and output."""
_INTEGER_KERNELS = ("QLinearConv", "QGemm")


def layers_of(data: bytes) -> list[str]:
    """The nodes with weights to quantise, in order."""
    proto = load_from_string(data)
    tail = _tail(proto)
    return [n.name for n in proto.graph.node if n.op_type in WEIGHTED and n.name not in tail]


def quantise(data: bytes, ranges: Ranges, float_layers: Collection[str] = ()) -> bytes:
    """The file in int8 except for some layers, deterministic."""
    given: ModelProto = load_from_string(data)
    proto = shape_inference.infer_shapes(given)
    excluded = [*float_layers, *_tail(proto)]
    options = {"OpTypesToExcludeOutputQuantization": ["Gemm"]}  # a dense layer is the last, or next to it
    quantiser = _quantization.QDQQuantizer(
        *(proto, True, True, _quantization.QuantType.QInt8, _quantization.QuantType.QUInt8),
        *(copy.deepcopy(ranges), [], excluded, _QUANTISED, options),
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    made: ModelProto = quantiser.model.model
    _keep_float(made, float_layers)
    made.graph.ClearField("value_info")
    # The quantiser overwrites these with its own name, and adds a comment.
    made.producer_name, made.producer_version = given.producer_name, given.producer_version
    made.ClearField("metadata_props")
    made.metadata_props.extend(given.metadata_props)
    written: bytes = made.SerializeToString(deterministic=True)
    return written


def _keep_float(proto: ModelProto, float_layers: Collection[str]) -> None:
    """Hide a float layer between two integer ones from onnxruntime, which would quantise its weights.

    Its optimiser WeightBiasQuantization does so, with one scale for all channels, if a convolution's input is a
    DequantizeLinear. A Clip at float's bounds between the two changes nothing else.
    """
    converted = {n.output[0] for n in proto.graph.node if n.op_type == "DequantizeLinear"}
    for k, node in reversed([*enumerate(proto.graph.node)]):
        if node.name in float_layers and node.input[0] in converted:
            ends = [f"{node.name}/lowest", f"{node.name}/highest"]
            bounds = np.finfo(np.float32)
            proto.graph.initializer.extend(
                numpy_helper.from_array(np.array(end, np.float32), name)
                for end, name in zip((bounds.min, bounds.max), ends, strict=True)
            )
            value = f"{node.name}/float"
            proto.graph.node.insert(k, helper.make_node("Clip", [node.input[0], *ends], [value], name=value))
            node.input[0] = value


def _tail(proto: ModelProto) -> set[str]:
    """The nodes from maps to scores: those after the last weights, except their activation.

    A last convolution without a pool after it computes the scores on 1x1 maps, and stays in float, too.
    """
    nodes = list(proto.graph.node)
    last = max((k for k, n in enumerate(nodes) if n.op_type in WEIGHTED), default=-1)
    after = nodes[last + 1 :]
    direct = last >= 0 and nodes[last].op_type == "Conv" and not any(n.op_type.endswith("Pool") for n in after)
    return {n.name for n in (nodes[last:] if direct else after) if direct or n.op_type not in _RECTIFIERS}


def macs_of(data: bytes) -> dict[str, int]:
    """Multiply-accumulates of each node with weights, for one image; empty for an open size."""
    graph = shape_inference.infer_shapes(load_from_string(data)).graph
    sizes = {t.name: math.prod(t.dims) for t in graph.initializer}
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*graph.value_info, *graph.output)}
    nodes = [n for n in graph.node if n.op_type in WEIGHTED]
    # The first axis counts images, the second is in the weights.
    cells = {n.name: math.prod(d.dim_value for d in shapes[n.output[0]][2:]) for n in nodes}
    return {n.name: sizes[n.input[1]] * cells[n.name] for n in nodes} if all(cells.values()) else {}


def integer_kernels(data: bytes) -> int:
    """The number of layers that onnxruntime's CPU provider computes by integer kernels, from its optimised graph."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="nin-spec-") as folder:
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        counts = Counter(n.op_type for n in load_onnx(options.optimized_model_filepath).graph.node)
    return sum(counts[kind] for kind in _INTEGER_KERNELS)
