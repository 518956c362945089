"""From the layers of a Caffe net to a chain: along the one path from the picture to the scores."""

from __future__ import annotations

import math

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.caffe.file import Layer, located
from nin_spec.importers.caffe.rules import RULES
from nin_spec.importers.caffe.walk import CaffeWalk
from nin_spec.importers.caffe.wiring import Wiring
from nin_spec.importers.chain import Chain, reading, refusal
from nin_spec.ir import ops

MAX_CELLS = 1 << 24
MAX_TOTAL = 1 << 25
MAX_MACS = 1 << 35
MAX_WINDOWS = 1 << 19
"""Of one picture: numbers of a layer and of all, multiplications, windows of pools. The proof computes each."""
_SMALLER = "make the picture smaller in its input_param, input_dim or --size"


def follow(walk: CaffeWalk, wiring: Wiring) -> Chain:
    """Along the path. Raises ForeignModelError, at the layer."""
    for layer in wiring.path:
        walk.used.append({})
        rule = RULES.get(layer.type)
        try:
            if rule is None:
                raise refusal(layer.origin, "the language has no word for what this computes")
            with reading(layer.origin):
                rule(walk, layer)
            _check_size(walk, layer)
        except ForeignModelError as error:
            raise located(error, layer.span) from None
    _finish(walk, wiring)
    return walk.chain


def _check_size(walk: CaffeWalk, layer: Layer) -> None:
    """What the proof would have to compute so far. Raises ForeignModelError where that is too much."""
    step = walk.chain.steps[-1] if walk.chain.steps else None
    if step is None or step.name != layer.name:
        return
    walk.cells += step.output.size
    walk.macs += step.op.macs(step.input)
    walk.windows += math.prod(step.op.counts(step.input)) if isinstance(step.op, ops.Pool2d) else 0
    for what, number, limit in (
        ("elements per picture", step.output.size, MAX_CELLS),
        ("elements per picture so far", walk.cells, MAX_TOTAL),
        ("multiplications so far", walk.macs, MAX_MACS),
        ("windows of pools so far", walk.windows, MAX_WINDOWS),
    ):
        if number > limit:
            raise refusal(layer.origin, f"{number:,} {what}; the limit of the proof is {limit:,}", _SMALLER)


def _finish(walk: CaffeWalk, wiring: Wiring) -> None:
    """Maps of one cell are scores: Caffe's losses take them as they are."""
    if walk.chain.output.is_map and walk.chain.output.shape[1:] == (1, 1):
        origin = wiring.path[-1].origin if wiring.path else wiring.picture
        walk.chain = walk.chain.then(ops.Flatten(), origin)
