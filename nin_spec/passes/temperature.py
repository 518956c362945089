"""Give a model a temperature: its scores are divided by it, before the softmax if the network ends in one.

A network that ends in a softmax or a log-softmax returns probabilities or their logarithms. They become those of the
divided scores: the op goes before the last one.
"""

from __future__ import annotations

import math

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.temperature import Temperature
from nin_spec.model import Model

NAME = "temperature"
"""The node that divides."""


def with_temperature(model: Model, value: float) -> Model:
    """The model with this temperature. Raises ValueError unless it is positive and finite, or for a second one."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"a temperature is positive and finite, not {value}")
    if temperature_of(model.graph) is not None:
        raise ValueError("the model has a temperature already")
    *nodes, last = model.graph
    before, ends = (nodes, [last]) if isinstance(last.op, ops.Softmax | ops.LogSoftmax) else ([*nodes, last], [])
    built = model.graph.rebuilt((node, node.op) for node in before).then(NAME, Temperature(value))
    return Model(model.graph.rebuilt(((node, node.op) for node in ends), built), model.weights, model.card)


def calibrated(model: Model, value: float | None) -> Model:
    """The model with this temperature, if there is one."""
    return model if value is None else with_temperature(model, value)


def temperature_of(graph: Graph) -> float | None:
    """The temperature of a graph that has one."""
    return next((node.op.value for node in graph if isinstance(node.op, Temperature)), None)
