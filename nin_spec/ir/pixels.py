"""Ops between raw pixels and a network. No spec contains them, and passes fold most of them away."""

from __future__ import annotations

from dataclasses import dataclass

from nin_spec.ir.ops import Op
from nin_spec.ir.types import Parameter, TensorType


@dataclass(frozen=True, repr=False, eq=False)
class ChannelOrder(Op):
    """Output channel i is input channel `order[i]`: RGB turned to BGR, or gray copied to each."""

    order: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        _, h, w = x.maps()
        return x.with_shape(len(self.order), h, w)


@dataclass(frozen=True, repr=False, eq=False)
class Affine(Op):
    """x * weight + bias per channel; `scale` and `shift` say which of the two are present."""

    scale: bool = True
    shift: bool = True

    def parameters(self, x: TensorType) -> tuple[Parameter, ...]:
        shape = x.shape[:1]
        weight = (Parameter("weight", shape, "scale"),) if self.scale else ()
        return (*weight, Parameter("bias", shape, "shift")) if self.shift else weight
