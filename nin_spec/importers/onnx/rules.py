"""How each ONNX operator is read: one rule per operator, found by its name; those with windows are in `windows.py`.

A rule adds steps to the walk and moves it on, or gives False where the node is not of the kind that it knows:
then what the node computes decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nin_spec.importers.chain import Array, refusal
from nin_spec.importers.clipping import clip
from nin_spec.importers.onnx import windows
from nin_spec.importers.onnx.evaluate import attributes, label
from nin_spec.importers.onnx.rulebook import RULES, constant, done, needed, on_maps, rule
from nin_spec.importers.onnx.walk import Walk
from nin_spec.importers.recognise import Affine, rounded
from nin_spec.ir import ops

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["RULES", "windows"]

# ------------------------------------------------------------------ dense layers and norms


def _dense(walk: Walk, node: NodeProto, weight: Array, bias: Array | None) -> bool:
    """A dense layer (out, in); its columns in our order, where the features were flattened in another."""
    if walk.columns is not None:
        weight, walk.columns = weight[:, walk.columns], None
    if bias is not None:
        if bias.size != 1 and bias.shape[-1:] != (bias.size,):
            raise refusal(label(node), f"an offset of shape {bias.shape}, but a dense layer has one per unit")
        bias = np.broadcast_to(bias.reshape(-1), (len(weight),))
    arrays = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    walk.add(ops.Linear(len(weight), bias is not None), label(node), **arrays)
    return done(walk, node)


@rule("Gemm")
def _gemm(walk: Walk, node: NodeProto) -> bool:
    """A dense layer, with its factors alpha and beta in the weights."""
    given, weight, bias = attributes(node), needed(walk, node, 1), constant(walk, node, 2)
    if given.get("transA") or node.input[0] != walk.value or weight.ndim != 2:
        raise refusal(label(node), "a product that is not a dense layer")
    weight = weight if given.get("transB") else weight.T
    weight = weight * given.get("alpha", 1.0)
    return _dense(walk, node, weight, None if bias is None else bias * given.get("beta", 1.0))


@rule("MatMul")
def _matmul(walk: Walk, node: NodeProto) -> bool:
    """A dense layer without a bias, which an Add may bring."""
    weight = needed(walk, node, 1) if node.input[0] == walk.value else None
    if weight is None or weight.ndim != 2 or walk.chain.output.is_map:
        raise refusal(label(node), "a product that is not a dense layer")
    return _dense(walk, node, weight.T, None)


@rule("BatchNormalization")
def _batch_norm(walk: Walk, node: NodeProto) -> bool:
    """One that uses its running statistics."""
    on_maps(walk, node)
    given = attributes(node)
    # Before opset 14 a norm has more outputs than one in training mode, and in no other.
    statistics = walk.source.opset < 14 and any(node.output[1:])
    if given.get("training_mode") or not given.get("is_test", 1) or statistics:
        raise refusal(label(node), "a batch norm in training mode", "export the network after net.eval()")
    scale, shift, mean, var = (needed(walk, node, k) for k in (1, 2, 3, 4))
    if walk.columns is not None:
        scale, shift, mean, var = (v[walk.columns] for v in (scale, shift, mean, var))
    momentum = round(1 - given.get("momentum", 0.9), 6)
    op = ops.BatchNorm(rounded(given.get("epsilon", 1e-5)), momentum)
    walk.add(op, label(node), weight=scale, bias=shift, running_mean=mean, running_var=var)
    return done(walk, node)


@rule("LRN")
def _lrn(walk: Walk, node: NodeProto) -> bool:
    """Across channels."""
    on_maps(walk, node)
    given = attributes(node)
    numbers = (rounded(given.get(key, usual)) for key, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    walk.add(ops.LocalResponseNorm(given["size"], *numbers), label(node))
    return done(walk, node)


# ------------------------------------------------------------------ activations

_PLAIN: dict[str, ops.Op] = {"Relu": ops.ReLU(), "Sigmoid": ops.Sigmoid(), "Tanh": ops.Tanh(), "Mish": ops.Mish()}


@rule(*_PLAIN)
def _plain(walk: Walk, node: NodeProto) -> bool:
    """Activations without a parameter."""
    walk.add(_PLAIN[node.op_type], label(node))
    return done(walk, node)


@rule("LeakyRelu")
def _leaky_relu(walk: Walk, node: NodeProto) -> bool:
    """By its slope."""
    walk.add(ops.LeakyReLU(rounded(attributes(node).get("alpha", 0.01))), label(node))
    return done(walk, node)


@rule("Elu")
def _elu(walk: Walk, node: NodeProto) -> bool:
    """By its alpha."""
    walk.add(ops.ELU(rounded(attributes(node).get("alpha", 1.0))), label(node))
    return done(walk, node)


@rule("Gelu")
def _gelu(walk: Walk, node: NodeProto) -> bool:
    """Exact, or by tanh."""
    walk.add(ops.GELU(attributes(node).get("approximate", "none") == "tanh"), label(node))
    return done(walk, node)


@rule("PRelu")
def _prelu(walk: Walk, node: NodeProto) -> bool:
    """With one slope, or one per channel."""
    slope, channels = needed(walk, node, 1), walk.chain.output.shape[0]
    wanted = (1,) * (slope.ndim - 1) + (channels,) if walk.channels_last else (channels, *[1] * (len(walk.shape) - 2))
    if slope.size == 1:
        walk.add(ops.PReLU(), label(node), weight=slope.reshape(1))
    elif slope.shape in {wanted, (1, *wanted)} and walk.columns is None:
        walk.add(ops.PReLU(per_channel=True), label(node), weight=slope.reshape(-1))
    else:
        raise refusal(label(node), f"slopes of shape {slope.shape}; the language supports one, or one per channel")
    return done(walk, node)


@rule("Clip")
def _clip(walk: Walk, node: NodeProto) -> bool:
    """Between ends that are attributes before opset 11, and inputs since."""
    given = attributes(node)
    said = "min" in given or "max" in given
    ends = (given.get("min"), given.get("max")) if said else (constant(walk, node, 1), constant(walk, node, 2))
    return _clipped(walk, node, *ends)


@rule("Max", "Min")
def _bound(walk: Walk, node: NodeProto) -> bool:
    """One bound that is a constant: a clip on one side. Others are regions."""
    others = [name for name in node.input if name != walk.value]
    if len(node.input) != 2 or len(others) != 1 or others[0] not in walk.source.constants:
        return False
    end = walk.source.constants[others[0]]
    return _clipped(walk, node, end, None) if node.op_type == "Max" else _clipped(walk, node, None, end)


def _clipped(walk: Walk, node: NodeProto, low: Array | float | None, high: Array | float | None) -> bool:
    """The activation with these ends, or no step where both are open."""
    op = clip(low, high, label(node))
    if op is not None:
        walk.add(op, label(node))
    return done(walk, node)


@rule("Softmax", "LogSoftmax")
def _softmax(walk: Walk, node: NodeProto) -> bool:
    """Over the classes; before opset 13 over all axes from its own on."""
    rank = len(walk.shape)
    axis = attributes(node).get("axis", -1 if walk.source.opset >= 13 else 1) % rank
    one_cell = walk.chain.output.is_map and walk.chain.output.shape[1:] == (1, 1)
    over_rest = walk.source.opset < 13 and axis == 1 and (rank == 2 or one_cell)
    if axis != (rank - 1 if walk.channels_last else 1) and not over_rest:
        raise refusal(label(node), f"it is over axis {axis}, not over the classes")
    walk.add(ops.Softmax() if node.op_type == "Softmax" else ops.LogSoftmax(), label(node))
    return done(walk, node)


# ------------------------------------------------------------------ shapes

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""(N, C, H, W) to (N, H, W, C), and back."""


@rule("Identity")
def _identity(walk: Walk, node: NodeProto) -> bool:
    """No step."""
    return done(walk, node)


@rule("Cast", "CastLike")
def _cast(walk: Walk, node: NodeProto) -> bool:
    """From bytes to numbers, or to numbers no coarser than the weights are anyway."""
    from onnx import TensorProto, helper

    if node.op_type == "Cast":
        kind = int(attributes(node)["to"])
    else:
        kind = helper.np_dtype_to_tensor_dtype(needed(walk, node, 1).dtype)
    name = TensorProto.DataType.Name(kind)
    if name not in walk.source.numbers:
        raise refusal(label(node), f"it rounds to {name}, but the weights are not {name}")
    return done(walk, node)


@rule("Dropout")
def _dropout(walk: Walk, node: NodeProto) -> bool:
    """By its ratio, none at 0; never in training mode."""
    if (training := constant(walk, node, 2)) is not None and training.any():
        raise refusal(label(node), "a dropout in training mode", "export the network after net.eval()")
    ratio = attributes(node).get("ratio", constant(walk, node, 1))
    share = 0.5 if ratio is None else rounded(float(ratio))
    if 0 < share < 1:
        walk.add(ops.Dropout(share), label(node))
    return done(walk, node)


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def _reshape(walk: Walk, node: NodeProto) -> bool:
    """Maps to features in the order that the file has them in, a transpose, or the same shape again; else a region."""
    x = np.arange(np.prod(walk.shape)).reshape(walk.shape)
    (y,) = walk.source.evaluate(node, {**walk.source.constants, walk.value: x})
    if y.shape == x.shape:
        return done(walk, node)
    if y.ndim == 4 and np.array_equal(y, x.transpose(_TO_FIRST if walk.channels_last else _TO_LAST)):
        # Moving an axis of one cell changes no order, so that tools write it as a reshape.
        walk.channels_last = not walk.channels_last
        return done(walk, node)
    if y.ndim != 2 or y.shape[0] != walk.batch or not walk.chain.output.is_map:
        return False
    channels, height, width = walk.chain.output.maps()
    if walk.channels_last and height * width > 1:
        walk.columns = (
            np.arange(height * width * channels).reshape(height, width, channels).transpose(2, 0, 1).reshape(-1)
        )
    walk.channels_last = False
    walk.add(ops.Flatten(), label(node))
    return done(walk, node)


@rule("Transpose")
def _transpose(walk: Walk, node: NodeProto) -> bool:
    """From channels first to last and back; else a region."""
    order = tuple(attributes(node).get("perm", ()))
    if len(walk.shape) != 4 or order not in {_TO_LAST, _TO_FIRST, (0, 1, 2, 3)}:
        return False
    if order != (0, 1, 2, 3):
        if (order == _TO_FIRST) != walk.channels_last:
            return False
        walk.channels_last = not walk.channels_last
    return done(walk, node)


_REDUCED: dict[str, ops.GlobalPool2d] = {"ReduceMean": ops.AdaptiveAvgPool2d(), "ReduceMax": ops.AdaptiveMaxPool2d()}


@rule(*_REDUCED)
def _reduce(walk: Walk, node: NodeProto) -> bool:
    """A global pool, with a flattening if its axes are dropped."""
    given = attributes(node)
    found = given.get("axes", constant(walk, node, 1))
    if found is None or len(walk.shape) != 4:
        return False
    axes = {int(a) % 4 for a in np.asarray(found).reshape(-1)}
    if axes != ({1, 2} if walk.channels_last else {2, 3}):
        return False
    walk.add(_REDUCED[node.op_type], label(node))
    if not given.get("keepdims", 1):
        walk.channels_last = False
        walk.add(ops.Flatten(), label(node))
    return done(walk, node)


@rule("Add", "Sub", "Mul", "Div")
def _scale(walk: Walk, node: NodeProto) -> bool:
    """With a constant a channel, or one number: a change of scale. Others are regions."""
    names = list(node.input)
    other = next((n for n in names if n != walk.value), None)
    if other is None or other not in walk.source.constants or names.count(walk.value) != 1:
        return False
    value = np.asarray(walk.source.constants[other], np.float64)
    channels, rank = walk.chain.output.shape[0], len(walk.shape)
    axis = rank - 1 if walk.channels_last else 1
    full = value.reshape(*[1] * (rank - value.ndim), *value.shape) if value.ndim <= rank else value
    if value.ndim > rank or any(n != 1 for k, n in enumerate(full.shape) if k != axis):
        return False
    number = np.broadcast_to(full.reshape(-1), (channels,))
    if walk.columns is not None:
        number = number[walk.columns] if number.size == walk.columns.size else number
    ones, zeros = np.ones(channels), np.zeros(channels)
    first = names[0] == walk.value
    if node.op_type == "Div" and (not first or not number.all()):
        return False
    changes: dict[str, Callable[[], Affine]] = {
        "Add": lambda: Affine(ones, number),
        "Sub": lambda: Affine(ones, -number) if first else Affine(-ones, number),
        "Mul": lambda: Affine(number, zeros),
        "Div": lambda: Affine(1 / number, zeros),
    }
    walk.rescale(changes[node.op_type](), label(node))
    return done(walk, node)
