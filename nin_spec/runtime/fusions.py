"""Which of onnxruntime's optimisations a file must do without on a device, because it would be computed wrongly.

The faults are rows of `nin_spec.provider_gaps`: of two activations after a convolution the second replaces the first,
and a convolution may ignore padding at the end, so that no Pad may be merged into one. A file that is exported for the
device keeps them apart; any other is searched for such pairs, conservatively.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.runtime.model_file import read_model
from nin_spec.runtime.upstream import MERGED, behind, makers_of

if TYPE_CHECKING:
    from onnx import ModelProto

FUSION = "ConvActivationFusion"
"""The optimiser's name in onnxruntime (core/optimizer/conv_activation_fusion.h)."""
PAD_FUSION = "Pad_Fusion"
"""The same (core/optimizer/pad_fusion.h)."""

ACTIVATIONS = {
    *("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "HardSwish", "Elu", "Gelu", "Softplus", "Erf"),
    *("Mish", "Selu", "Celu", "Swish", "Softsign", "ThresholdedRelu", "QuickGelu", "FastGelu", "BiasGelu"),
}


def harmful(source: bytes | str) -> list[str]:
    """The optimisers to be disabled for a file: if an activation may follow another, or a convolution a Pad."""
    proto = read_model(source)
    found = {FUSION: _follows(proto, ACTIVATIONS, ACTIVATIONS), PAD_FUSION: _follows(proto, {"Conv"}, {"Pad"})}
    return [name for name, there in found.items() if there]


def _follows(proto: ModelProto, later: set[str], earlier: set[str]) -> bool:
    """True if a value of the earlier operators reaches a later one through nothing but arithmetic by element."""
    makers, nodes = makers_of(proto), proto.graph.node
    return any(
        behind(node, makers, lambda at: at.op_type in earlier, MERGED) for node in nodes if node.op_type in later
    )
