"""Which of onnxruntime's optimisations a file must do without on a device, because it would be computed wrongly.

The faults are rows of `nin_spec.provider_gaps`: of two activations after a convolution the second replaces the first,
and a convolution may ignore padding at the end, so that no Pad may be merged into one. A file that is exported for the
device keeps them apart; any other is searched for such pairs, conservatively.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.runtime.model_file import read_model

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

FUSION = "ConvActivationFusion"
"""The optimiser's name in onnxruntime (core/optimizer/conv_activation_fusion.h)."""
PAD_FUSION = "Pad_Fusion"
"""The same (core/optimizer/pad_fusion.h)."""

_ACTIVATIONS = {
    *("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "HardSwish", "Elu", "Gelu", "Softplus", "Erf"),
    *("Mish", "Selu", "Celu", "Swish", "Softsign", "ThresholdedRelu", "QuickGelu", "FastGelu", "BiasGelu"),
}
_PASSED = {"Identity", "Dropout", "Cast", "Mul", "Add", "Sub", "Div", "BatchNormalization"}
"""What optimisations remove, or merge with an activation or a convolution."""


def harmful(source: bytes | str) -> list[str]:
    """The optimisers to be disabled for a file: if an activation may follow another, or a convolution a Pad."""
    proto = read_model(source)
    found = {FUSION: _follows(proto, _ACTIVATIONS, _ACTIVATIONS), PAD_FUSION: _follows(proto, {"Conv"}, {"Pad"})}
    return [name for name, there in found.items() if there]


def _follows(proto: ModelProto, later: set[str], earlier: set[str]) -> bool:
    """True if a value of the earlier operators reaches a later one through nothing but arithmetic by element."""
    makers = {value: node for node in proto.graph.node for value in node.output}
    return any(_behind(node, makers, earlier) for node in proto.graph.node if node.op_type in later)


def _behind(node: NodeProto, makers: dict[str, NodeProto], earlier: set[str]) -> bool:
    """True if what a node takes comes from one of these operators."""
    todo, seen = list(node.input), set[str]()
    while todo:
        value = todo.pop()
        maker = makers.get(value)
        if maker is None or value in seen:
            continue
        seen.add(value)
        if maker.op_type in earlier:
            return True
        if maker.op_type in _PASSED:
            todo += maker.input
    return False
