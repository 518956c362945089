"""How a convolution is written in ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nin_spec.ir.types import Padding

if TYPE_CHECKING:
    from nin_spec.exporters.onnx_writer import Writer
    from nin_spec.ir import ops
    from nin_spec.ir.graph import Node


def write_conv(w: Writer, node: Node, op: ops.Conv2d, more_channels: int = 0) -> None:
    """Write a node's convolution, with `op` for what its attributes are; `more_channels` of its input are zeros."""
    weight, *others = (p.name for p in op.parameters(node.input))
    full = f"{node.name}.{weight}"
    array = np.pad(w.weights[full], ((0, 0), (0, more_channels), (0, 0), (0, 0)))
    inputs = [w.constant(full, array), *(w.parameter(node, name) for name in others)]
    w.add(
        "Conv",
        node,
        *inputs,
        kernel_shape=op.kernel_size,
        strides=op.stride,
        pads=_pads(op.padding),
        dilations=op.dilation,
        group=op.groups,
    )


def _pads(p: Padding) -> list[int]:
    """ONNX's order: the starts of all axes, then the ends."""
    return [p.top, p.left, p.bottom, p.right]
