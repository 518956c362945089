"""Which of onnxruntime's optimisations a file must do without on a device, because it would be computed wrongly.

The fault is a row of `nin_spec.provider_gaps`: of two activations after a convolution the second replaces the first. A
file that is exported for the device keeps them apart; any other is searched for such a pair, conservatively.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

FUSION = "ConvActivationFusion"
"""The optimiser's name in onnxruntime (core/optimizer/conv_activation_fusion.h)."""

_ACTIVATIONS = {
    *("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "HardSwish", "Elu", "Gelu", "Softplus", "Erf"),
    *("Mish", "Selu", "Celu", "Swish", "Softsign", "ThresholdedRelu", "QuickGelu", "FastGelu", "BiasGelu"),
}
_PASSED = {"Identity", "Dropout", "Cast", "Mul", "Add", "Sub", "Div", "BatchNormalization"}
"""What optimisations remove, or merge with an activation or a convolution."""


def harmful(source: bytes | str) -> list[str]:
    """The optimisers to be disabled for a file: the fusion, if an activation may follow another. Reads the file."""
    import onnx

    if isinstance(source, bytes):
        proto = onnx.load_model_from_string(source)
    else:
        proto = onnx.load_model(source, format="protobuf", load_external_data=False)
    return [FUSION] if _repeats(proto) else []


def _repeats(proto: ModelProto) -> bool:
    """True if an activation's value reaches another activation through nothing but arithmetic by element."""
    makers = {value: node for node in proto.graph.node for value in node.output}
    return any(_behind(node, makers) for node in proto.graph.node if node.op_type in _ACTIVATIONS)


def _behind(node: NodeProto, makers: dict[str, NodeProto]) -> bool:
    """True if what a node takes comes from an activation."""
    todo, seen = list(node.input), set[str]()
    while todo:
        value = todo.pop()
        maker = makers.get(value)
        if maker is None or value in seen:
            continue
        seen.add(value)
        if maker.op_type in _ACTIVATIONS:
            return True
        if maker.op_type in _PASSED:
            todo += maker.input
    return False
