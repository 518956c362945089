"""A change of scale by channel, where the language has no step of its own for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nin_spec.importers.chain import Array, Chain
from nin_spec.importers.recognise import Affine
from nin_spec.ir import ops


def rescaled(chain: Chain, change: Affine, origin: str) -> Chain:
    """The chain with a change of scale at its end: in the layer before, or as a norm of its own."""
    gain, offset, dtype = change.gain, change.offset, chain.input.dtype
    if np.all(gain == 1) and np.all(offset == 0):
        return chain

    def cast(**arrays: Array) -> dict[str, Array]:
        return {name: np.ascontiguousarray(array, dtype) for name, array in arrays.items()}

    last = chain.steps[-1]
    if isinstance(last.op, ops.Conv2d | ops.Linear):
        weight = last.arrays["weight"] * gain.reshape(-1, *[1] * (last.arrays["weight"].ndim - 1))
        bias = last.arrays.get("bias", np.zeros_like(gain)) * gain + offset
        shorter = replace(chain, steps=chain.steps[:-1])
        arrays = cast(weight=weight, bias=bias)
        return shorter.then(replace(last.op, bias=True), last.origin, **arrays).called(last.name, last.init)
    eps = ops.BatchNorm().eps
    ones, zeros = np.ones_like(gain), np.zeros_like(gain)
    arrays = cast(weight=gain * np.sqrt(1 + eps), bias=offset, running_mean=zeros, running_var=ones)
    return chain.then(ops.BatchNorm(), origin, **arrays)
