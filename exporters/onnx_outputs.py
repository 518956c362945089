"""The outputs of an ONNX file: scores, probabilities, best classes; each computed once.

- `scores` is the output of the spec's network; `nin_spec.output` is its kind.
- `probabilities` is their softmax. A network that ends in a softmax has them already, and a log-softmax is inverted.
- `top5` (any number) is two outputs, `top_probabilities` and `top_classes` (int64), best first.
- `maps` are the class maps, (classes, rows, columns), whose mean is the score before a softmax.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from nin_spec.analysis.shapes import output_kind
from nin_spec.exporters.onnx_writer import INPUT, OUTPUT, Writer
from nin_spec.ir.graph import Graph
from nin_spec.passes.class_maps import ClassMaps

PROBABILITIES, TOP_PROBABILITIES, TOP_CLASSES, MAPS = "probabilities", "top_probabilities", "top_classes", "maps"

Axes = list[int | str]
"""An output's shape without its batch axis; a name stands for an open axis."""
Declared = tuple[str, int, Axes]
"""An output's name, element type and shape."""


def top_of(outputs: Sequence[str]) -> int | None:
    """The number in `top5`, None without one."""
    return next((int(found[1]) for o in outputs if (found := re.fullmatch(r"top(\d{1,6})", o))), None)


def write_maps(w: Writer) -> None:
    """Give the current value, the class maps, their name."""
    w.value = _rename(w, MAPS)


def write_outputs(w: Writer, graph: Graph, outputs: Sequence[str], maps: ClassMaps | None) -> list[Declared]:
    """Write the requested `outputs` after the chain, and return each one's name, element type and shape.

    The shape leaves out the batch axis.
    """
    kind, number = output_kind(graph), helper.np_dtype_to_tensor_dtype(w.dtype)
    classes: Axes = [*graph.output.shape]
    own = w.value
    if OUTPUT in outputs:
        own = _rename(w, OUTPUT)
    elif kind == PROBABILITIES:
        own = _rename(w, PROBABILITIES)
    top = top_of(outputs)
    found: list[Declared] = [(OUTPUT, number, classes)] if OUTPUT in outputs else []
    likely = own
    if PROBABILITIES in outputs or top:
        likely = _probabilities(w, kind, own, given=PROBABILITIES in outputs)
    if PROBABILITIES in outputs:
        found.append((PROBABILITIES, number, classes))
    if top:
        _top(w, likely, top)
        found += [(TOP_PROBABILITIES, number, [top]), (TOP_CLASSES, TensorProto.INT64, [top])]
    if maps is not None:
        size: Axes = ["map_height", "map_width"] if graph.open_size else [*maps.size]
        found.append((MAPS, number, [*classes, *size]))
    return found


def _rename(w: Writer, name: str) -> str:
    """Call the chain's last value `name`."""
    if not w.nodes:
        w.nodes.append(helper.make_node("Identity", [INPUT], [name], name="identity"))
    w.nodes[-1].output[0] = name
    return name


def _probabilities(w: Writer, kind: str, own: str, *, given: bool) -> str:
    """The name of the probabilities; adds a node if there are none yet, or for a second name."""
    op = {PROBABILITIES: "Identity", "log_probabilities": "Exp"}.get(kind, "Softmax")
    if op == "Identity" and (own == PROBABILITIES or not given):
        return own
    made = helper.make_node(op, [own], [PROBABILITIES], name=PROBABILITIES)
    if op == "Softmax":
        made.attribute.append(helper.make_attribute("axis", 1))
    w.nodes.append(made)
    return PROBABILITIES


def _top(w: Writer, likely: str, count: int) -> None:
    size = w.constant(f"{TOP_CLASSES}/count", np.array([count], np.int64))
    names = [TOP_PROBABILITIES, TOP_CLASSES]
    w.nodes.append(helper.make_node("TopK", [likely, size], names, name="top", axis=1, largest=1, sorted=1))
