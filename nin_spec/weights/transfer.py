"""Weights for the same body under another head: what is carried, what is fresh, what is dropped.

The head starts with the class layer, the last convolution or dense layer, or with the first dense layer if there are
several. All before it is the body, which is carried whole under the network's own names, or the file is refused. In the
head:

1. tensors with one row per class, in the file and in the network, are carried row by row where the names of classes
   meet; the other rows are fresh;
2. others are carried if name and shape are equal, except in the class layer;
3. the rest is fresh.

Tensors of the file that the network lacks are dropped if they belong behind the body, else the file is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nin_spec.diagnostics import Code, WeightsError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.weights.adopt import COUNTER, converted, require_variances
from nin_spec.weights.naming import listed, preferred, prefixes, show
from nin_spec.weights.state import Array, Checkpoint, StateDict

LABELS = "nin_spec.labels"
"""The key of a weights file's metadata that has the labels of its classes, as a JSON list."""


@dataclass(frozen=True)
class Transfer:
    """The weights, and where each tensor comes from.

    `carried` and `fresh` are names of whole tensors, `by_class` those carried row by row, for the labels `classes`.
    `dropped` are the file's own names.
    """

    weights: dict[str, Array] = field(repr=False)
    carried: tuple[str, ...]
    by_class: tuple[str, ...]
    classes: tuple[str, ...]
    fresh: tuple[str, ...]
    dropped: tuple[str, ...]


def labels_entry(labels: Sequence[str]) -> dict[str, str]:
    """The entry of a weights file's metadata with its labels, if there are any."""
    return {LABELS: json.dumps(list(labels), ensure_ascii=False)} if labels else {}


def labels_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The labels in a weights file's metadata; empty if it does not have them."""
    try:
        found: Any = json.loads(metadata.get(LABELS, "[]"))
    except ValueError:
        return ()
    return tuple(found) if isinstance(found, list) and all(isinstance(label, str) for label in found) else ()


def transfer(found: Checkpoint, graph: Graph, fresh: Mapping[str, Array], labels: Sequence[str]) -> Transfer:
    """The weights of a network with the labels `labels`, from a file of another head, and from `fresh` ones.

    Raises WeightsError if the body does not fit, or two copies of it do.
    """
    body, last = _body(graph)
    state, prefix = _source(found, body, graph)
    tensors = {name: array for name, array in state.tensors.items() if not name.endswith(COUNTER)}
    inside = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    _require_body(found.name, inside, body, graph)
    rows = _rows(labels, labels_of(found.metadata))
    weights = {name: np.array(array) for name, array in fresh.items()}
    carried, by_class = list[str](), list[str]()
    for name, parameter in graph.parameters().items():
        array = inside.get(name)
        if array is None or prefix + name in state.unusable:
            continue
        if name not in last and array.shape == parameter.shape:
            weights[name] = converted(found.name, name, array, graph.input.dtype)
            carried.append(name)
        elif name in last and rows and _by_class(array, parameter.shape, len(labels), found):
            values = converted(found.name, name, array, graph.input.dtype)
            weights[name][[ours for ours, _ in rows]] = values[[theirs for _, theirs in rows]]
            by_class.append(name)
    require_variances(found.name, graph, weights)
    used = {prefix + name for name in (*carried, *by_class)}
    classes = tuple(labels[ours] for ours, _ in rows) if by_class else ()
    dropped = tuple(name for name in tensors if name not in used)
    new = tuple(name for name in weights if name not in {*carried, *by_class})
    return Transfer(weights, tuple(carried), tuple(by_class), classes, new, dropped)


def _body(graph: Graph) -> tuple[set[str], set[str]]:
    """The parameters before the head, and those of the class layer and what follows it."""
    nodes = list(graph)
    scored = max(k for k, node in enumerate(nodes) if isinstance(node.op, ops.Conv2d | ops.Linear))
    first = min([scored, *(k for k, node in enumerate(nodes) if node.name.startswith("head."))])
    names = [{*node.parameters()} for node in nodes]
    return set().union(*names[:first]), set().union(*names[scored:])


def _source(found: Checkpoint, body: set[str], graph: Graph) -> tuple[StateDict, str]:
    """The state dict of the file with the whole body, and the prefix of its names; else the nearest one."""
    names = body or {*graph.parameters()}
    whole = [
        (state, prefix)
        for state in found.states
        for prefix, count in prefixes(state.tensors, names).items()
        if count == len(names)
    ]
    if len(whole) > 1:
        chosen = preferred([f"{state.label}.{prefix}" for state, prefix in whole])
        if chosen is None:
            copies = ", ".join(f"{state.label}{prefix}*" for state, prefix in whole)
            message = f"{found.name} has {len(whole)} networks that fit; which one to use is ambiguous: {copies}"
            raise WeightsError(Code.WEIGHTS_MISMATCH, message, hint="save only the intended one")
        return whole[chosen]
    if whole:
        return whole[0]
    near = [
        (count, -k, prefix) for k, s in enumerate(found.states) for prefix, count in prefixes(s.tensors, names).items()
    ]
    _, place, prefix = max(near, default=(0, 0, ""))
    return found.states[-place], prefix


def _require_body(file: str, inside: Mapping[str, Array], body: set[str], graph: Graph) -> None:
    """Raise WeightsError unless the file has the body's tensors, each in its shape, and no other among them."""
    shapes = {name: p.shape for name, p in graph.parameters().items() if name in body}
    lacking = [name for name in shapes if name not in inside]
    wrong = [
        f"{name} has the shape {show(inside[name].shape)}, in the spec {show(shape)}"
        for name, shape in shapes.items()
        if name in inside and inside[name].shape != shape
    ]
    end = max((_position(name) for name in body), default=(-1.0, -1.0))
    known = {*graph.parameters()}
    foreign = [name for name in inside if name not in known and not _position(name) > end]
    said = [f"it lacks {listed(lacking)}"] if lacking else []
    said += wrong[:10]
    said += [f"the network lacks {listed(foreign)}"] if foreign else []
    if not said:
        return
    if len(lacking) == len(shapes) and shapes:
        hint = "give its tensors the network's names, those of `nin-spec build -o`"
    else:
        hint = "a new head needs the same layers below it: only the class layer and head.* may differ"
    message = f"{file} does not fit below the new head: {'; '.join(said)}"
    raise WeightsError(Code.WEIGHTS_MISMATCH, message, hint=hint)


def _position(name: str) -> tuple[float, float]:
    """Where a tensor stands: its block and its convolution; behind all of them for the head, else before them."""
    if name.startswith("head."):
        return math.inf, math.inf
    found = re.match(r"blocks\.(\d{1,9})\.\w+\.(?:(\d{1,9})\.)?", name)
    if found is None:
        return -1.0, -1.0
    return float(found[1]), math.inf if found[2] is None else float(found[2])


def _rows(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """The rows (ours, theirs) of the classes that have the same label in both."""
    places = {label: k for k, label in enumerate(theirs)}
    return [(k, places[label]) for k, label in enumerate(ours) if label in places]


def _by_class(array: Array, shape: tuple[int, ...], classes: int, found: Checkpoint) -> bool:
    """Whether a tensor has one row per class in the network and in the file, rows of one shape."""
    theirs = len(labels_of(found.metadata))
    return shape[:1] == (classes,) and array.shape[:1] == (theirs,) and array.shape[1:] == shape[1:]
