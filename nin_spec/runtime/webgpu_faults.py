"""What WebGPU computes wrongly in a file: refused when it is opened, as the scores would be off without a word.

The faults are rows of `nin_spec.provider_gaps`; a file that is exported for the device has none of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nin_spec.provider_gaps import END_PADDING, THREES, in_threes
from nin_spec.runtime.model_file import read_model

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Sizes = dict[str, tuple[int, ...]]
"""Of values or weights of four axes, the height and width, 0 where the file leaves them open."""


def faults(source: bytes | str) -> tuple[str, ...]:
    """The names of the faults that a file meets, or may meet at a size that it leaves open. Reads the file."""
    proto = read_model(source)
    weights = {tensor.name: tuple(tensor.dims[2:]) for tensor in proto.graph.initializer if len(tensor.dims) == 4}
    convolutions = [(node, _given(node)) for node in proto.graph.node if node.op_type == "Conv"]
    kernels = [(node, given, _kernel(node, given, weights)) for node, given in convolutions]
    padded = [(node, given, kernel) for node, given, kernel in kernels if _pads_the_end(given, kernel)]
    sizes = _sizes(proto) if padded else {}
    found = [THREES] if _in_threes(proto, convolutions) else []
    return (*found, END_PADDING) if any(_ignores_it(*each, sizes) for each in padded) else tuple(found)


def _in_threes(proto: ModelProto, convolutions: list[tuple[NodeProto, dict[str, Any]]]) -> bool:
    """True if a convolution has such channels, and is not a product of matrices: 1x1, stride 1, without padding."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer if len(tensor.dims) == 4}
    wrong = {name for name, (after, before, *_) in shapes.items() if in_threes(before, after)}
    for node, given in convolutions:
        plain = {*given.get("strides", (1, 1))} == {1} and not any(given.get("pads", ())) and "auto_pad" not in given
        named = [name for name in node.input[1:2] if name in wrong]
        if given.get("group", 1) == 1 and any(not plain or shapes[name][2:] != (1, 1) for name in named):
            return True
    return False


def _kernel(node: NodeProto, given: dict[str, Any], weights: Sizes) -> tuple[int, ...]:
    return tuple(given.get("kernel_shape", ())) or next((weights[v] for v in node.input[1:2] if v in weights), ())


def _pads_the_end(given: dict[str, Any], kernel: tuple[int, ...]) -> bool:
    """True if the padding is at the bottom and right alone, and there is one group; what is malformed isn't opened."""
    steps = [*given.get("strides", (1, 1)), *given.get("dilations", (1, 1))]
    if len(kernel) != 2 or len(steps) != 4 or min(steps) < 1 or given.get("group", 1) > 1:
        return False
    pads = _pads(given, kernel)
    return not any(pads[:2]) and any(pads[2:])


def _ignores_it(node: NodeProto, given: dict[str, Any], kernel: tuple[int, ...], sizes: Sizes) -> bool:
    """True if such a convolution may be computed without its padding."""
    if kernel == tuple(given.get("strides", (1, 1))) == (1, 1):
        return True
    size = sizes.get(node.input[0], (0, 0))
    return all(cells in {0, taps} for cells, taps in zip(size, kernel, strict=True))


def _pads(given: dict[str, Any], kernel: tuple[int, ...]) -> list[int]:
    """The padding of an input as large as the kernel, in ONNX's order: both starts, both ends."""
    if given.get("auto_pad") != b"SAME_UPPER":  # SAME_LOWER has the odd cell at the start
        return list(given.get("pads", (0, 0, 0, 0)))
    axes = zip(kernel, given.get("strides", (1, 1)), given.get("dilations", (1, 1)), strict=False)
    totals = [(math.ceil(taps / stride) - 1) * stride + (taps - 1) * (dilation - 1) for taps, stride, dilation in axes]
    return [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]


def _given(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _sizes(proto: ModelProto) -> Sizes:
    """The sizes of a graph's values, as far as they are known: those of a graph with contradictions are not."""
    from onnx import shape_inference

    try:
        graph = shape_inference.infer_shapes(proto).graph
    except shape_inference.InferenceError:
        return {}
    shapes = ((value.name, value.type.tensor_type.shape.dim) for value in (*graph.input, *graph.value_info))
    return {name: tuple(d.dim_value for d in dims[2:]) for name, dims in shapes if len(dims) == 4}
