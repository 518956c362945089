"""How a convolution is written in ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.ir.types import Padding

if TYPE_CHECKING:
    from nin_spec.exporters.onnx_writer import Writer
    from nin_spec.ir import ops
    from nin_spec.ir.graph import Node


def write_conv(w: Writer, node: Node, op: ops.Conv2d) -> None:
    """Write a node's convolution, with `op` for what its attributes are."""
    inputs = [w.parameter(node, p.name) for p in op.parameters(node.input)]
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
