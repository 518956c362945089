"""Let a model take raw pixels: the colour order and normalisation of `preprocess` become its first nodes.

The pixels are floats in the range of `preprocess`, channels first, gray or RGB.
"""

from __future__ import annotations

from nin_spec.ir.graph import Graph
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.model import Model, Preprocessing

ORDER, NORMALISE = "input.channels", "input.normalise"


def pixel_input(model: Model) -> Model:
    """The model with the channel order and (pixel * scale - mean) / std before its first node."""
    import numpy as np

    graph, contract = model.graph, model.card.preprocessing
    channels, height, width = graph.input.shape
    order = channel_order(contract, channels)
    built = Graph(graph.name, graph.input.with_shape(max(order) + 1, height, width), open_size=graph.open_size)
    if order != tuple(range(channels)):
        built = built.then(ORDER, ChannelOrder(order), computes="")
    std = np.broadcast_to(np.array(contract.std, np.float64), channels)
    factor, offset = contract.scale / std, -np.array(contract.mean, np.float64) / std
    op = Affine(scale=bool((factor != 1).any()), shift=bool(offset.any()))
    if op.scale or op.shift:
        built = built.then(NORMALISE, op, computes="")
    arrays = {f"{NORMALISE}.weight": factor, f"{NORMALISE}.bias": offset}
    own = {name: arrays[name].astype(graph.input.dtype) for name in built.parameters()}
    built = graph.rebuilt(((node, node.op) for node in graph), built)
    return Model(built, own | dict(model.weights), model.card)


def channel_order(contract: Preprocessing, channels: int) -> tuple[int, ...]:
    """The picture's channel for each channel of the network: gray is copied to each, BGR is RGB reversed."""
    if contract.color == "gray":
        return (0,) * channels
    order = tuple(range(channels))
    return order[::-1] if contract.color == "bgr" else order
