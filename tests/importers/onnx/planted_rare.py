"""Further changes to exported files: those that act rarely, or change a number or a word of a node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper
from planted import CHANGES, after, change, constant, inserted, number, shapes

__all__ = ["CHANGES"]


def _padded(proto: ModelProto) -> list[tuple[int, NodeProto]]:
    """The nodes with padding, by their places."""
    found = [(k, node, next((a for a in node.attribute if a.name == "pads"), None)) for k, node in _nodes(proto)]
    return [(k, node) for k, node, pads in found if pads is not None and any(pads.ints)]


def _nodes(proto: ModelProto, *kinds: str) -> list[tuple[int, NodeProto]]:
    return [(k, node) for k, node in enumerate(proto.graph.node) if not kinds or node.op_type in kinds]


def _drawn(rng: np.random.Generator, found: list[tuple[int, NodeProto]]) -> tuple[int, NodeProto] | None:
    return found[int(rng.integers(len(found)))] if found else None


def _set(node: NodeProto, key: str, value: object) -> None:
    kept = [a for a in node.attribute if a.name != key]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(key, value)])


# ------------------------------------------------------------------ what acts on some values


@change
def _beyond(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Values beyond a limit that most networks never reach are turned round."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    limit = number(proto, float(10 ** rng.uniform(3, 9)))
    nodes = [
        helper.make_node("Neg", [made], ["turned"]),
        helper.make_node(str(rng.choice(["Greater", "GreaterOrEqual"])), [made, limit], ["far"]),
        helper.make_node("Where", ["far", "turned", made], [value]),
    ]
    return inserted(proto, at, *nodes)


@change
def _hidden_threshold(proto: ModelProto, rng: np.random.Generator) -> bool:
    """The same by a threshold that is not a constant of the graph."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    kind = rng.integers(4)
    nodes = [helper.make_node("Neg", [made], ["turned"]), helper.make_node("Shape", ["turned"], ["sizes"])]
    if kind == 0:
        filled = numpy_helper.from_array(np.array([10 ** rng.uniform(1, 6)], np.float32))
        nodes.append(helper.make_node("ConstantOfShape", ["sizes"], ["limit"], value=filled))
    elif kind == 1:
        nodes += [
            helper.make_node("Size", ["turned"], ["size"]),
            helper.make_node("Cast", ["size"], ["number"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", ["number", "number"], ["limit"]),
        ]
    elif kind == 2:
        nodes.append(helper.make_node("Mean", [made, made, "turned"], ["small"]))  # a third
        names = ["small"]
        for k in range(int(rng.integers(1, 12))):
            nodes.append(helper.make_node("Neg", [names[-1]], [f"less{k}"]))
            nodes.append(helper.make_node("Mean", [names[-1], names[-1], f"less{k}"], [f"small{k}"]))
            names.append(f"small{k}")
        nodes.append(helper.make_node("ThresholdedRelu", [names[-1]], ["much"]))  # alpha is 1
        return inserted(proto, at, *nodes, helper.make_node("Sub", [made, "much"], [value]))
    else:
        slope = number(proto, 0.1)
        nodes += [
            helper.make_node("Mul", [made, slope], ["a"]),
            helper.make_node("Max", [made, "a"], ["leaky"]),
            helper.make_node("Mul", ["a", slope], ["b"]),
            helper.make_node("Mul", ["b", slope], ["c"]),
            helper.make_node("Equal", ["c", slope], ["hit"]),
        ]
        return inserted(proto, at, *nodes, helper.make_node("Where", ["hit", "turned", "leaky"], [value]))
    nodes.append(helper.make_node("Greater", [made, "limit"], ["far"]))
    return inserted(proto, at, *nodes, helper.make_node("Where", ["far", "turned", made], [value]))


@change
def _one_number(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Cells that hold one whole number become zero."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    hit = helper.make_node("Equal", [made, number(proto, float(rng.integers(256)))], ["hit"])
    return inserted(proto, at, hit, helper.make_node("Where", ["hit", number(proto, 0.0), made], [value]))


# ------------------------------------------------------------------ what acts on some cells


@change
def _one_cell(proto: ModelProto, rng: np.random.Generator) -> bool:
    """A cell, a border or a channel is halved, or halved where it is large."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    sizes = [1, *shapes(proto)[made][1:]]
    if 0 in sizes:
        return False
    mask = np.zeros(sizes, bool)
    kind = rng.integers(3)
    if kind == 0:
        mask[tuple(int(rng.integers(n)) for n in sizes)] = True
    elif kind == 1:
        mask[0, int(rng.integers(sizes[1]))] = True
    else:
        mask[..., 0] = True
    nodes = [helper.make_node("Mul", [made, number(proto, 0.5)], ["half"])]
    chosen = constant(proto, mask)
    if rng.random() < 0.5:
        limit = number(proto, float(10 ** rng.uniform(0, 6)))
        nodes.append(helper.make_node("Greater", [made, limit], ["bright"]))
        nodes.append(helper.make_node("And", ["bright", chosen], ["both"]))
        chosen = "both"
    return inserted(proto, at, *nodes, helper.make_node("Where", [chosen, "half", made], [value]))


@change
def _small_offset(proto: ModelProto, rng: np.random.Generator) -> bool:
    """A ten-thousandth is added: to all, to a channel, to a cell."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    sizes = [1, *shapes(proto)[made][1:]]
    if 0 in sizes:
        return False
    offset = np.zeros(sizes, np.float32)
    kind = rng.integers(3)
    if kind == 0:
        offset = np.array(1e-4, np.float32)
    elif kind == 1:
        offset = np.zeros([1, sizes[1], *[1] * (len(sizes) - 2)], np.float32)
        offset[0, int(rng.integers(sizes[1]))] = 1e-4
    else:
        offset[tuple(int(rng.integers(n)) for n in sizes)] = 1e-4
    return inserted(proto, at, helper.make_node("Add", [made, constant(proto, offset)], [value]))


# ------------------------------------------------------------------ another padding or window


@change
def _pad_mode(proto: ModelProto, rng: np.random.Generator) -> bool:
    """The zeros around a window become something else."""
    drawn = _drawn(rng, _padded(proto))
    if drawn is None:
        return False
    k, node = drawn
    top, left, bottom, right = next(a.ints for a in node.attribute if a.name == "pads")
    sides = constant(proto, np.array([0, 0, top, left, 0, 0, bottom, right]))
    _set(node, "pads", [0, 0, 0, 0])
    source, node.input[0] = node.input[0], "padded"
    mode = str(rng.choice(["reflect", "constant"]))
    filled = [number(proto, float(rng.choice([1e-4, -1e-4, 1.0])))] if mode == "constant" else []
    return inserted(proto, k, helper.make_node("Pad", [source, sides, *filled], ["padded"], mode=mode))


@change
def _auto_pad(proto: ModelProto, rng: np.random.Generator) -> bool:
    """The padding is asked for by a word, which may put the odd cell elsewhere."""
    drawn = _drawn(rng, _nodes(proto, "Conv", "MaxPool", "AveragePool"))
    if drawn is None:
        return False
    kept = [a for a in drawn[1].attribute if a.name != "pads"]
    del drawn[1].attribute[:]
    drawn[1].attribute.extend(kept)
    _set(drawn[1], "auto_pad", str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])))
    return True


@change
def _ceil_mode(proto: ModelProto, rng: np.random.Generator) -> bool:
    """A pool rounds the other way."""
    drawn = _drawn(rng, _nodes(proto, "MaxPool", "AveragePool"))
    if drawn is None:
        return False
    given = {a.name: a.i for a in drawn[1].attribute}
    _set(drawn[1], "ceil_mode", 1 - given.get("ceil_mode", 0))
    return True


@change
def _dilation(proto: ModelProto, rng: np.random.Generator) -> bool:
    """A window reaches as far as another, padding and all."""
    drawn = _drawn(rng, _nodes(proto, "Conv", "MaxPool"))
    if drawn is None:
        return False
    node = drawn[1]
    given = {a.name: list(a.ints) for a in node.attribute}
    kernel = given.get("kernel_shape", [1, 1])
    if max(kernel) == 1:
        return False
    _set(node, "dilations", [2, 2])
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    down, across = (k - 1 for k in kernel)
    _set(node, "pads", [top + down // 2, left + across // 2, bottom + down - down // 2, right + across - across // 2])
    return True


@change
def _turned_kernel(proto: ModelProto, rng: np.random.Generator) -> bool:
    """The weights of a convolution, upside down."""
    found = [t for t in proto.graph.initializer if len(t.dims) == 4 and max(t.dims[2:]) > 1]
    if not found:
        return False
    tensor = found[int(rng.integers(len(found)))]
    turned = np.ascontiguousarray(numpy_helper.to_array(tensor)[:, :, ::-1])
    tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))
    return True


# ------------------------------------------------------------------ another number or mode


@change
def _number(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Any number in an attribute is a little larger: a slope, alpha, beta and k of a response norm, an epsilon."""
    found = [a for node in proto.graph.node for a in node.attribute if a.type == onnx.AttributeProto.FLOAT and a.f]
    if not found:
        return False
    found[int(rng.integers(len(found)))].f *= float(rng.choice([1.001, 1.1]))
    return True


@change
def _open_clip(proto: ModelProto, rng: np.random.Generator) -> bool:
    """Bounds that are far, and may be beyond float32's range."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    bound = float(rng.choice([1e6, 1e12, 1e30, 9e37, 3.4028234e38]))
    ends = [number(proto, -bound), number(proto, bound)]
    return inserted(proto, at, helper.make_node("Clip", [made, *ends], [value]))


@change
def _number_type(proto: ModelProto, rng: np.random.Generator) -> bool:
    """There and back again."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    kinds = onnx.TensorProto
    kind = int(rng.choice([kinds.DOUBLE, kinds.BFLOAT16, kinds.INT32, kinds.INT8, kinds.UINT8, kinds.BOOL]))
    there = helper.make_node("Cast", [made], ["other"], to=kind)
    return inserted(proto, at, there, helper.make_node("Cast", ["other"], [value], to=kinds.FLOAT))


@change
def _training(proto: ModelProto, rng: np.random.Generator) -> bool:
    """A dropout that draws, or a norm that takes the batch's own statistics."""
    norms = _nodes(proto, "BatchNormalization")
    if norms and rng.random() < 0.5:
        _set(norms[0][1], "training_mode", 1)
        norms[0][1].output.extend(["mean_after", "var_after"])
        return True
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    ends = [number(proto, float(rng.choice([0.0, 0.3]))), constant(proto, np.array(rng.random() < 0.7))]
    return inserted(proto, at, helper.make_node("Dropout", [made, *ends], [value], seed=0))


@change
def _pixel_order(proto: ModelProto, rng: np.random.Generator) -> bool:
    """The channels of the input in another order."""
    given = proto.graph.input[0]
    channels = given.type.tensor_type.shape.dim[1].dim_value
    if channels < 2:
        return False
    for node in proto.graph.node:
        node.input[:] = ["ordered" if name == given.name else name for name in node.input]
    order = constant(proto, rng.permutation(channels))
    return inserted(proto, 0, helper.make_node("Gather", [given.name, order], ["ordered"], axis=1))


@change
def _across_pictures(proto: ModelProto, rng: np.random.Generator) -> bool:
    """What a picture gives depends on the others of its batch."""
    place = after(proto, rng)
    if place is None:
        return False
    made, value, at = place
    if rng.random() < 0.5:
        mean = helper.make_node("ReduceMean", [made], ["mean"], axes=[0], keepdims=1)
        least = [helper.make_node("Sub", [made, "mean"], ["apart"]), helper.make_node("Relu", ["apart"], ["over"])]
        return inserted(proto, at, mean, *least, helper.make_node("Sub", [made, "over"], [value]))
    turned = [constant(proto, np.array([n])) for n in (-1, -(1 << 60), 0, -1)]
    return inserted(proto, at, helper.make_node("Slice", [made, *turned], [value]))
