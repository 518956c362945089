"""What a device lacks or computes wrongly (`nin_spec.provider_gaps`), written in what it has, exactly.

Each lowering is the one of a row's name. It looks at a node that is about to be written, and writes all of it, or what
goes before it, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nin_spec.exporters.onnx_convolutions import write_conv
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.op import Op
from nin_spec.ir.pixels import Affine
from nin_spec.ir.text import print_op
from nin_spec.ir.types import Padding
from nin_spec.passes.changes import Change
from nin_spec.provider_gaps import (
    ACTIVATIONS,
    CHANNEL_ORDER,
    END_PADDING,
    FRACTIONAL_LRN,
    LOG_SOFTMAX,
    LRN,
    POOLED_ACTIVATION,
    SMALL_VALUES,
    THREES,
    gaps_of,
    in_threes,
)

if TYPE_CHECKING:
    from nin_spec.exporters.onnx_writer import Writer

Lowering = Callable[["Writer", Node], bool]
"""Returns true if it wrote the node; false if the node's own rule is still to be applied."""

_ABSENT = (ops.Dropout, ops.Dropout2d)
"""No file has them."""
_FACTORS = (ops.BatchNorm, Affine)
"""What providers merge into a convolution, or move past a pool."""


def lowerings(devices: Iterable[str]) -> tuple[Lowering, ...]:
    """What a file for these devices needs."""
    return tuple(dict.fromkeys(_LOWERINGS[gap.name] for gap in gaps_of(devices) if gap.name in _LOWERINGS))


def lowered(w: Writer, node: Node) -> bool:
    """Write a node for the file's devices where they need it otherwise; false if its rule is still to be applied."""
    before = len(w.nodes)
    wrote = any(lowering(w, node) for lowering in w.lowerings)
    if made := [made.op_type for made in w.nodes[before:]]:
        what = f"{print_op(node.op)} written as" if wrote else f"{print_op(node.op)} after"
        w.lowered.append(Change(node.name, f"{what} {', '.join(made)}", node.span))
    return wrote


def _lrn(w: Writer, node: Node) -> bool:
    """Write x exp(-beta log(k + alpha * mean)), with the mean of squares over channels, of which absent ones are 0.

    Behind a transposition AveragePool averages over channels, as rows. Alpha goes in before the square, where it keeps
    float16 from overflowing. Pow would fail on WebGPU: the optimiser moves the transpositions, and its kernel can't
    take the exponent of four axes that then comes (onnxruntime-ep-webgpu 0.4.0).
    """
    op = node.op
    if not isinstance(op, ops.LocalResponseNorm):
        return False
    x, first = w.value, (op.size - 1) // 2
    scaled = w.add("Mul", node, w.constant(f"{node.name}/alpha", np.array(math.sqrt(op.alpha))), part="scaled")
    w.add("Mul", node, scaled, part="square")
    w.add("Transpose", node, perm=[0, 2, 1, 3], part="rows")
    pads = [first, 0, op.size - 1 - first, 0]
    w.add("AveragePool", node, kernel_shape=[op.size, 1], pads=pads, count_include_pad=1, part="mean")
    w.add("Transpose", node, perm=[0, 2, 1, 3], part="channels")
    w.add("Add", node, w.constant(f"{node.name}/k", np.array(op.k)), part="sum")
    w.add("Log", node, part="log")
    w.add("Mul", node, w.constant(f"{node.name}/exponent", np.array(-op.beta)), part="exponents")
    w.add("Exp", node, part="factor")
    w.add("Mul", node, x)
    return True


def _fractional_lrn(w: Writer, node: Node) -> bool:
    """The same, where k has a fraction."""
    return isinstance(node.op, ops.LocalResponseNorm) and not float(node.op.k).is_integer() and _lrn(w, node)


def _shuffle(w: Writer, node: Node) -> bool:
    """Write a shuffle as it is defined, instead of as an order of the channels; an order that is its own inverse stays.

    The pictures' height and width become one axis meanwhile, so that the sizes may be open.
    """
    op = node.op
    if not isinstance(op, ops.ChannelShuffle):
        return False
    channels, *size = node.input.shape
    order = np.arange(channels).reshape(op.groups, -1).T.reshape(-1)
    if (order[order] == np.arange(channels)).all():
        return False
    groups = w.constant(f"{node.name}/groups", np.array([0, op.groups, channels // op.groups, -1]))
    if w.open_size:
        x = w.value
        whole = w.add("Shape", node, part="shape")
        w.value = x
    else:
        whole = w.constant(f"{node.name}/shape", np.array([0, channels, *size]))
    w.add("Reshape", node, groups, part="split")
    w.add("Transpose", node, perm=[0, 2, 1, 3], part="shuffled")
    w.add("Reshape", node, whole)
    return True


def _log_softmax(w: Writer, node: Node) -> bool:
    """Write x - max - log(sum(exp(x - max))), over the classes."""
    if not isinstance(node.op, ops.LogSoftmax):
        return False
    x, axis = w.value, w.constant(f"{node.name}/axis", np.array([1]))
    if w.opset >= 18:
        largest = w.add("ReduceMax", node, axis, part="largest")
    else:
        largest = w.add("ReduceMax", node, axes=[1], part="largest")
    w.value = x
    less = w.add("Sub", node, largest, part="less")
    w.add("Exp", node, part="exp")
    w.add("ReduceSum", node, axis, part="total")
    log = w.add("Log", node, part="log")
    w.value = less
    w.add("Sub", node, log)
    return True


def _activations(w: Writer, node: Node) -> bool:
    """The second of two activations after a convolution, kept apart from the first.

    A Max of a value with itself is that value, and the optimiser sees no single consumer there that it could fuse.
    """
    chain = [earlier.op for earlier in w.chain if not isinstance(earlier.op, _ABSENT)]
    if not isinstance(node.op, ops.Pointwise) or not chain or not isinstance(chain[-1], ops.Pointwise):
        return False
    if not _behind(chain, ops.Conv2d, (ops.Pointwise, *_FACTORS)):
        return False
    if _keeps(chain[-1], node.op):
        w.add("Identity", node)
        return True
    w.add("Max", node, w.value, part="apart")
    return False


def _behind(chain: Sequence[Op], kind: type[Op], passed: tuple[type[Op], ...]) -> Sequence[Op]:
    """The ops up to the last of a kind, if all that come after it are of the kinds passed; otherwise none."""
    for at in reversed(range(len(chain))):
        if isinstance(chain[at], kind):
            return chain[: at + 1]
        if not isinstance(chain[at], passed):
            break
    return ()


def _pooled_activation(w: Writer, node: Node) -> bool:
    """Keep an activation that falls somewhere from moving before the max pool that it comes after."""
    if not isinstance(node.op, ops.Pointwise) or node.op.monotone:
        return False
    chain = [earlier.op for earlier in w.chain if not isinstance(earlier.op, _ABSENT)]
    pooled = _behind(chain, ops.MaxPool2d, (ops.Activation, *_FACTORS))
    if _behind(pooled[:-1], ops.Conv2d, _FACTORS):
        w.add("Max", node, w.value, part="apart")
    return False


def _keeps(first: ops.Pointwise, second: ops.Pointwise) -> bool:
    """True if the second activation returns what the first one does: it changes only negative numbers."""
    return first.bounds[0] >= 0 and isinstance(second, ops.ReLU | ops.LeakyReLU | ops.ELU)


def _end_padding(w: Writer, node: Node) -> bool:
    """Write the padding of a convolution before it, if it is at the bottom and right alone and would be ignored.

    WebGPU computes a convolution of one group as a product of matrices, without its padding, if its kernel has the
    input's size or is 1x1 with stride 1; of the padding it asks only the top and left (onnxruntime's
    core/providers/webgpu/nn/conv.cc). A Max of a value with itself is that value: without it the optimiser would put
    the Pad back into the convolution.
    """
    op = node.op
    if not isinstance(op, ops.Conv2d) or op.groups > 1:
        return False
    p = op.padding
    if p.top or p.left or not (p.bottom or p.right):
        return False
    whole = w.open_size or node.input.shape[1:] == op.kernel_size
    if not whole and (op.kernel_size, op.stride) != ((1, 1), (1, 1)):
        return False
    pads = w.constant(f"{node.name}/pads", np.array([0, 0, 0, 0, 0, 0, p.bottom, p.right]))
    w.add("Pad", node, pads, part="padded")
    w.add("Max", node, w.value, part="apart")
    write_conv(w, node, replace(op, padding=Padding()))
    return True


def _threes(w: Writer, node: Node) -> bool:
    """Write a convolution of input channels in threes with channels of zeros up to a multiple of four.

    WebGPU computes one of 1x1 with stride 1 and no padding as a product of matrices, rightly. The padding goes into the
    same Pad, which the Max keeps out of the convolution.
    """
    op = node.op
    if not isinstance(op, ops.Conv2d) or op.groups > 1 or not in_threes(node.input.shape[0], op.out_channels):
        return False
    p = op.padding
    if (op.kernel_size, op.stride, p) == ((1, 1), (1, 1), Padding()):
        return False
    more = -node.input.shape[0] % 4
    w.add(
        "Pad",
        node,
        w.constant(f"{node.name}/pads", np.array([0, 0, p.top, p.left, 0, more, p.bottom, p.right])),
        part="padded",
    )
    w.add("Max", node, w.value, part="apart")
    write_conv(w, node, replace(op, padding=Padding()), more)
    return True


def _small_values(w: Writer, node: Node) -> bool:
    """Write f(x), tanh or elu, as f(a) + (f(x) - f(a)) with a = x near 0, elsewhere the bound, and f(a) by its series.

    A GPU's exp(x) - 1 and tanh lose the digits of a small x; there the bracket is 0. The terms of the series that are
    left out are below 1e-7 of the result. No Where chooses between the two: with one, a Transpose of the optimiser
    was seen to run on the CPU.
    """
    match node.op:
        case ops.Tanh():
            _tanh(w, node)
        case ops.ELU(alpha):
            _elu(w, node, alpha)
        case _:
            return False
    return True


def _tanh(w: Writer, node: Node) -> None:
    """By a + a (-a^2 / 3 + 2 a^4 / 15), where |a| is 0.1 at most."""
    x = w.value
    bent = w.add("Tanh", node, part="bent")
    w.value = x
    w.add("Max", node, w.constant(f"{node.name}/least", np.array(-0.1)), part="above")
    a = w.add("Min", node, w.constant(f"{node.name}/most", np.array(0.1)), part="near")
    square = w.add("Mul", node, a, part="square")
    w.add("Mul", node, w.constant(f"{node.name}/fifth", np.array(2 / 15)), part="term2")
    w.add("Sub", node, w.constant(f"{node.name}/third", np.array(1 / 3)), part="term1")
    w.add("Mul", node, square, part="terms")
    w.add("Mul", node, a, part="bend")
    series = w.add("Add", node, a, part="series")
    w.value = a
    near = w.add("Tanh", node, part="near_bent")
    w.value = bent
    w.add("Sub", node, near, part="rest")
    w.add("Add", node, series)


def _elu(w: Writer, node: Node, alpha: float) -> None:
    """By a + a^2 / 2 + a^3 / 6 + a^4 / 24, where a is -0.05 at least; max(x, 0) apart."""
    x, one = w.value, w.constant(f"{node.name}/one", np.array(1.0))
    positive = w.add("Relu", node, part="positive")
    w.value = x
    m = w.add("Sub", node, positive, part="negative")
    bent = w.add("Exp", node, part="bent")
    w.value = m
    a = w.add("Max", node, w.constant(f"{node.name}/least", np.array(-0.05)), part="near")
    near = w.add("Exp", node, part="near_bent")
    w.value = bent
    rest = w.add("Sub", node, near, part="rest")
    w.value = a
    for divisor in (4, 3, 2):
        w.add("Mul", node, w.constant(f"{node.name}/over{divisor}", np.array(1 / divisor)), part=f"share{divisor}")
        w.add("Add", node, one, part=f"sum{divisor}")
        w.add("Mul", node, a, part=f"series{divisor}")
    w.add("Add", node, rest, part="curve")
    w.add("Mul", node, w.constant(f"{node.name}/alpha", np.array(alpha)), part="scaled")
    w.add("Add", node, positive)


_LOWERINGS: dict[str, Lowering] = {
    LRN: _lrn,
    LOG_SOFTMAX: _log_softmax,
    ACTIVATIONS: _activations,
    THREES: _threes,
    END_PADDING: _end_padding,
    FRACTIONAL_LRN: _fractional_lrn,
    CHANNEL_ORDER: _shuffle,
    POOLED_ACTIVATION: _pooled_activation,
    SMALL_VALUES: _small_values,
}
