"""From the layers of a Caffe net to a chain: along the one path from the picture to the scores."""

from __future__ import annotations

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.budget import Limits
from nin_spec.importers.caffe.file import Layer, located
from nin_spec.importers.caffe.rules import RULES
from nin_spec.importers.caffe.walk import CaffeWalk
from nin_spec.importers.caffe.wiring import Wiring
from nin_spec.importers.chain import Chain, reading, refusal
from nin_spec.ir import ops

LIMITS = Limits(largest=1 << 24, total=1 << 25, macs=1 << 35, windows=1 << 19)
"""Of Caffe's definitions in NumPy, which go through pools window by window."""
_SMALLER = "make the picture smaller in its input_param, input_dim or --size"


def follow(walk: CaffeWalk, wiring: Wiring) -> Chain:
    """Along the path. Raises ForeignModelError, at the layer."""
    for layer in wiring.path:
        walk.used.append({})
        rule = RULES.get(layer.type)
        try:
            if rule is None:
                raise refusal(layer.origin, "the language has no equivalent of what this computes")
            with reading(layer.origin):
                rule(walk, layer)
            _check_cost(walk, layer)
        except ForeignModelError as error:
            raise located(error, layer.span) from None
    _finish(walk, wiring)
    return walk.chain


def _check_cost(walk: CaffeWalk, layer: Layer) -> None:
    """Raises ForeignModelError where the proof can't afford what it would have to compute so far."""
    step = walk.chain.steps[-1] if walk.chain.steps else None
    if step is not None and step.name == layer.name:
        walk.cost.add(step)
        walk.cost.check(LIMITS, layer.origin, _SMALLER)


def _finish(walk: CaffeWalk, wiring: Wiring) -> None:
    """Maps of one cell are scores: Caffe's losses take them as they are."""
    if walk.chain.output.is_map and walk.chain.output.shape[1:] == (1, 1):
        origin = wiring.path[-1].origin if wiring.path else wiring.picture
        walk.chain = walk.chain.then(ops.Flatten(), origin)
