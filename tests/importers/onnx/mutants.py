"""ONNX files that were damaged: their bytes, or what they say. Each by its seed, so that one can be made again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

Rng = np.random.Generator
Change = Callable[[ModelProto, Rng], None]
NUMBERS = [0, 1, -1, 2, 3, 7, -3, 255, 4096, 1 << 20, 1 << 31, -(1 << 31), 1 << 62, -(1 << 63), (1 << 63) - 1]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), -float("inf"), 3.4e38]
OPERATORS = [
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul", "Relu", "Clip", "Pad"),
    *("Reshape", "Transpose", "Flatten", "Concat", "Split", "Slice", "Gather", "Expand", "Tile", "ConstantOfShape"),
    *("Range", "Resize", "Einsum", "OneHot", "TopK", "NonZero", "Loop", "If", "Scan", "RandomNormal", "Dropout", "Max"),
    *(
        "Softmax",
        "BatchNormalization",
        "LRN",
        "ReduceMean",
        "ReduceMax",
        "Cast",
        "Shape",
        "Squeeze",
        "Unsqueeze",
        "Pow",
    ),
    *("SequenceConstruct", "StringNormalizer", "ImageDecoder", "QuantizeLinear", "NoSuchOperator", "", "Identity"),
]


def damaged(data: bytes, seed: int) -> bytes:
    """Bytes of a file, one to eight of them changed, put in, taken out or cut off."""
    rng = np.random.default_rng(seed)
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(len(found))) if found else 0
        match int(rng.integers(6)):
            case 0:
                found[at : at + 1] = bytes([int(rng.integers(256))])
            case 1:
                found[at : at + 1] = bytes([found[at] ^ (1 << int(rng.integers(8)))]) if found else b""
            case 2:
                found[at:at] = rng.bytes(int(rng.integers(1, 9)))
            case 3:
                del found[at : at + int(rng.integers(1, 33))]
            case 4:
                del found[at:]
            case _:
                found[at:at] = found[int(rng.integers(at + 1)) : at][:64]
    return bytes(found)


def mutated(data: bytes, seed: int) -> bytes:
    """A file that says something else: one to four changes to its nodes, its numbers, its types or its text."""
    rng = np.random.default_rng(seed)
    model = onnx.load_model_from_string(data)
    for _ in range(int(rng.integers(1, 5))):
        CHANGES[int(rng.integers(len(CHANGES)))](model, rng)
    found: bytes = model.SerializeToString()
    return found


def _pick(items: Any, rng: Rng) -> Any:
    return items[int(rng.integers(len(items)))] if len(items) else None


def _values(model: ModelProto) -> list[str]:
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    return [*names, *(t.name for t in model.graph.initializer), "", "x", "nothing"]


def _drop_node(model: ModelProto, rng: Rng) -> None:
    if model.graph.node:
        del model.graph.node[int(rng.integers(len(model.graph.node)))]


def _repeat_node(model: ModelProto, rng: Rng) -> None:
    node = _pick(model.graph.node, rng)
    if node is not None:
        model.graph.node.add().CopyFrom(node)


def _shuffle_nodes(model: ModelProto, rng: Rng) -> None:
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes[k] for k in rng.permutation(len(nodes)))


def _rewire(model: ModelProto, rng: Rng) -> None:
    node = _pick(model.graph.node, rng)
    if node is not None:
        ends = node.output if rng.random() < 0.3 else node.input
        if len(ends):
            ends[int(rng.integers(len(ends)))] = _pick(_values(model), rng)


def _count_ends(model: ModelProto, rng: Rng) -> None:
    node = _pick(model.graph.node, rng)
    if node is not None:
        ends = node.output if rng.random() < 0.3 else node.input
        if rng.random() < 0.5 and len(ends):
            del ends[int(rng.integers(len(ends)))]
        else:
            ends.append(_pick(_values(model), rng))


def _change_operator(model: ModelProto, rng: Rng) -> None:
    node = _pick(model.graph.node, rng)
    if node is not None:
        node.op_type = _pick(OPERATORS, rng)
        if rng.random() < 0.1:
            node.domain = _pick(["com.microsoft", "my", "ai.onnx.ml", "ai.onnx"], rng)


def _change_attribute(model: ModelProto, rng: Rng) -> None:
    node = _pick([n for n in model.graph.node if n.attribute], rng)
    if node is None:
        return
    attribute = _pick(node.attribute, rng)
    match int(rng.integers(6)):
        case 0:
            attribute.i = _pick(NUMBERS, rng)
        case 1:
            attribute.f = _pick(FLOATS, rng)
        case 2 if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = _pick(NUMBERS, rng)
        case 3:
            attribute.ints.append(_pick(NUMBERS, rng))
        case 4:
            attribute.type = int(rng.integers(15))
        case _:
            node.attribute.remove(attribute)


def _add_attribute(model: ModelProto, rng: Rng) -> None:
    node = _pick(model.graph.node, rng)
    if node is not None:
        name = _pick(
            ["axis", "axes", "pads", "kernel_shape", "strides", "group", "dilations", "perm", "to", "auto_pad"], rng
        )
        value: Any = _pick([_pick(NUMBERS, rng), [_pick(NUMBERS, rng)] * int(rng.integers(5)), 0.5, "SAME_UPPER"], rng)
        if value != []:
            node.attribute.append(helper.make_attribute(name, value))


def _change_tensor(model: ModelProto, rng: Rng) -> None:
    tensor = _pick(model.graph.initializer, rng)
    if tensor is None:
        return
    match int(rng.integers(6)):
        case 0:
            tensor.dims.append(_pick(NUMBERS, rng))
        case 1 if tensor.dims:
            tensor.dims[int(rng.integers(len(tensor.dims)))] = _pick(NUMBERS, rng)
        case 2:
            tensor.data_type = int(rng.integers(30))
        case 3:
            tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
        case 4:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=_pick(["x", "../x", "/etc/hostname", ""], rng))
        case _:
            tensor.name = _pick(_values(model), rng)


def _change_numbers(model: ModelProto, rng: Rng) -> None:
    """Other values of the same shape, as shapes and axes have that a graph computes with."""
    tensor = _pick([t for t in model.graph.initializer if t.data_type == TensorProto.INT64], rng)
    if tensor is not None:
        array = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 8 * 8], np.int64).copy()
        if array.size:
            array[int(rng.integers(array.size))] = _pick(NUMBERS, rng)
            tensor.raw_data = array.tobytes()


def _change_input(model: ModelProto, rng: Rng) -> None:
    value = _pick([*model.graph.input, *model.graph.output], rng)
    if value is None:
        return
    shape = value.type.tensor_type.shape
    match int(rng.integers(4)):
        case 0:
            value.type.tensor_type.elem_type = int(rng.integers(25))
        case 1 if shape.dim:
            shape.dim[int(rng.integers(len(shape.dim)))].dim_value = _pick(NUMBERS, rng)
        case 2:
            shape.dim.add()
        case _:
            value.name = _pick(_values(model), rng)


def _change_versions(model: ModelProto, rng: Rng) -> None:
    if rng.random() < 0.5 and model.opset_import:
        _pick(model.opset_import, rng).version = _pick([*range(30), *NUMBERS], rng)
    else:
        model.ir_version = _pick([*range(20), 1 << 62], rng)


def _change_metadata(model: ModelProto, rng: Rng) -> None:
    entry = _pick(model.metadata_props, rng)
    if entry is not None:
        texts = [
            "",
            "1" * 5000,
            "nan",
            "[" * 2000,
            "{}",
            "null",
            "\x1b[2J",
            entry.value[: len(entry.value) // 2],
            "spec: 1",
        ]
        entry.value = _pick(texts, rng)


def _add_function(model: ModelProto, rng: Rng) -> None:
    """A function that the graph may call, that may call itself or one before it."""
    name = f"F{len(model.functions)}"
    inside = [
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node(_pick([name, "F0", "Relu"], rng), ["b"], ["c"], domain="my"),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    model.functions.append(helper.make_function("my", name, ["a"], ["c"], inside, opsets))
    model.opset_import.append(helper.make_opsetid("my", 1))
    node = _pick(model.graph.node, rng)
    if node is not None and rng.random() < 0.7:
        node.op_type, node.domain = name, "my"
        del node.attribute[:]


def _add_bomb(model: ModelProto, rng: Rng) -> None:
    """Constants that grow, on the way to a weight or to nothing."""
    start = _pick(_values(model), rng)
    value = start
    for k in range(int(rng.integers(1, 40))):
        made = f"bomb{len(model.graph.node)}_{k}"
        kind = _pick(["Concat", "Expand", "ConstantOfShape", "Tile", "Range", "Mul"], rng)
        inputs = {"Concat": [value, value], "Mul": [value, value], "Range": [value] * 3, "ConstantOfShape": [value]}
        attributes: dict[str, Any] = {"axis": 0} if kind == "Concat" else {}
        model.graph.node.append(helper.make_node(kind, inputs.get(kind, [value, value]), [made], **attributes))
        value = made
    node = _pick(model.graph.node, rng)
    if node is not None and len(node.input) and rng.random() < 0.5:
        node.input[int(rng.integers(len(node.input)))] = value


CHANGES: list[Change] = [
    *(
        _drop_node,
        _repeat_node,
        _shuffle_nodes,
        _rewire,
        _count_ends,
        _change_operator,
        _change_attribute,
        _add_attribute,
    ),
    *(_change_tensor, _change_numbers, _change_input, _change_versions, _change_metadata, _add_function, _add_bomb),
]
