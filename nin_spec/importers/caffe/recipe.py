"""Training settings in a Caffe net: factors on learning rates and decay, in a recipe's form.

The rest of a recipe is in the solver file, and the number of pictures in neither; so these settings are reported
and not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from nin_spec.importers.caffe.rules import WEIGHTED
from nin_spec.importers.caffe.wiring import Wiring
from nin_spec.importers.recognise import rounded
from nin_spec.ir import ops
from nin_spec.language.emit import emit
from nin_spec.network import Network

Rates = Mapping[str, tuple[float, float]]


def recipe_of(wiring: Wiring, network: Network) -> list[str]:
    """`lr_multipliers` and `no_decay` as a remark, none where every rate is 1."""
    rates = _rates(wiring, network)
    said: dict[str, Any] = {}
    if factors := _factors({name: rate for name, (rate, _) in rates.items()}):
        said["lr_multipliers"] = factors
    if still := _still({name: decay for name, (_, decay) in rates.items()}):
        said["no_decay"] = still
    if not said:
        return []
    lines = emit(said, compact=True).splitlines()
    return ["its factors on learning rates and decay, for a train section:", *(f"  {line}" for line in lines)]


def _rates(wiring: Wiring, network: Network) -> Rates:
    """(rate, decay) of each weight and bias of the convolutions and dense layers, by our names."""
    layers = [layer for layer in wiring.path if layer.type in WEIGHTED]
    nodes = [node.name for node in network.graph if isinstance(node.op, ops.Conv2d | ops.Linear)]
    names = {f"blocks.{i}.": f"{block.name}." for i, block in enumerate(network.spec.spec.blocks) if block.name}
    found = {}
    for layer, node in zip(layers, nodes, strict=True):
        place = next((own for own in names if node.startswith(own)), "")
        shown = names.get(place, "") + node.removeprefix(place)
        for tensor, (rate, decay) in zip(("weight", "bias"), layer.rates, strict=False):
            found[f"{shown}.{tensor}"] = (rounded(rate), rounded(decay))
    return found


def _factors(rates: Mapping[str, float]) -> dict[str, float]:
    """What most tensors of a kind have by a pattern, the others by name."""
    found: dict[str, float] = {}
    for kind in ("weight", "bias"):
        of = {name: rate for name, rate in rates.items() if name.endswith(f".{kind}")}
        usual = max(Counter(of.values()).items(), key=lambda item: item[1])[0] if of else 1.0
        if usual != 1:
            found[f"*.{kind}"] = usual
        found |= {name: rate for name, rate in of.items() if rate != usual}
    return {name: int(rate) if rate.is_integer() else rate for name, rate in found.items()}


def _still(decays: Mapping[str, float]) -> list[str]:
    """Parameters without decay; all biases are `*.bias`."""
    still = [name for name, decay in decays.items() if decay == 0]
    biases = [name for name in decays if name.endswith(".bias")]
    if biases and set(biases) <= set(still):
        return ["*.bias", *(name for name in still if name not in biases)]
    return still
