"""Rules about the end of the network: what lies between the last layer with weights and the scores."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nin_spec.diagnostics import Code, Severity
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.lint.finding import Finding, Subject, dotted, layer_of, path_of, size_of

_BENDING = (ops.Pointwise, ops.PReLU)
"""Activations that change the order of magnitude or the sign of a score; maxout does not."""


def score_activation(subject: Subject) -> Iterator[Finding]:
    """NIN901: an activation after the last layer with weights."""
    for node in _bent(subject):
        if not _squashes_twice(subject, node):
            path = path_of(node.name)
            yield Finding(
                Code.SCORE_ACTIVATION,
                f"{dotted(layer_of(path))}: {node.kind} on the class scores: {_harm(node.op)}",
                subject.own(path[:-1], "activation"),
                "set activation: none there",
                (node.name,),
                path,
            )


def _bent(subject: Subject) -> Iterator[Node]:
    if subject.last >= 0:
        yield from (n for n in subject.nodes[subject.last :] if isinstance(n.op, _BENDING))


def _harm(op: ops.Op) -> str:
    if isinstance(op, ops.ReLU):
        return "they can't be negative, and a score stuck at 0 gets no gradient"
    if _is_bounded(op):
        low, high = op.bounds
        return f"they stay between {low:g} and {high:g}"
    return "it weakens the negative ones to no benefit"


def two_softmaxes(subject: Subject) -> Iterator[Finding]:
    """NIN909: a sigmoid or tanh on the scores, and a softmax on top of it."""
    for node in _bent(subject):
        if _squashes_twice(subject, node):
            path = path_of(node.name)
            classes = subject.network.spec.spec.class_count
            low, high = node.op.bounds
            most = math.exp(high) / (math.exp(high) + (classes - 1) * math.exp(low))
            yield Finding(
                Code.TWO_SOFTMAXES,
                f"{dotted(layer_of(path))}: {node.kind} squashes the scores before the softmax does: "
                f"no probability can exceed {most:.0%}",
                subject.own(path[:-1], "activation"),
                "set activation: none there; the softmax, or the loss in training, needs raw scores",
                (node.name,),
                path,
            )


def _squashes_twice(subject: Subject, node: Node) -> bool:
    """Whether a softmax follows a bounded activation: the network's, or that of the training loss."""
    ends = isinstance(subject.nodes[-1].op, ops.Softmax | ops.LogSoftmax)
    classes = subject.network.spec.spec.class_count
    return _is_bounded(node.op) and classes > 1 and (ends or subject.network.spec.spec.train is not None)


def _is_bounded(op: ops.Op) -> bool:
    return all(map(math.isfinite, op.bounds))


def score_dropout(subject: Subject) -> Iterator[Finding]:
    """NIN905: dropout after the last layer with weights."""
    for node in subject.nodes[subject.last + 1 :] if subject.last >= 0 else ():
        if isinstance(node.op, ops.Dropout | ops.Dropout2d) and node.op.p > 0:
            path = path_of(node.name)
            what = "drops whole scores" if _whole(node) else "blurs the scores"
            yield Finding(
                Code.SCORE_DROPOUT,
                f"{node.name}: dropout directly before the scores {what} in training",
                subject.where(*path),
                "use dropout on features instead: in the block before the class maps, or before the last dense layer",
                (node.name,),
                path,
            )


def _whole(node: Node) -> bool:
    """Whether a whole score is dropped at once."""
    return isinstance(node.op, ops.Dropout2d) or not node.input.is_map or node.input.shape[1:] == (1, 1)


def single_cell(subject: Subject) -> Iterator[Finding]:
    """NIN906: a global pool over maps that strides and pools have reduced to one cell."""
    for node in subject.nodes:
        if isinstance(node.op, ops.GlobalPool2d):
            if node.input.shape[1:] == (1, 1) and (at := _shrinks(subject)) is not None:
                path = path_of(at.name)
                yield Finding(
                    Code.SINGLE_CELL,
                    f"{at.name}: the maps shrink to 1x1 here, and {node.name} has nothing left to pool",
                    subject.where(*path),
                    "use fewer strides, more padding, or a larger input",
                    (at.name, node.name),
                    path,
                )
            return


def _shrinks(subject: Subject) -> Node | None:
    """The layer at which maps become 1x1; None if they always were."""
    return next((n for n in subject.nodes if n.input.shape[1:] != (1, 1) and n.output.shape[1:] == (1, 1)), None)


def small_field(subject: Subject) -> Iterator[Finding]:
    """NIN907: cells of the last maps that see less than the whole picture."""
    if subject.pooled is None:
        return
    field, size = subject.field(subject.pooled), subject.network.graph.input.shape[1:]
    maker = next((n for n in reversed(subject.nodes[: subject.pooled]) if isinstance(n.op, ops.Conv2d)), None)
    pooled = subject.nodes[subject.pooled]
    if maker is None or pooled.input.shape[1:] == (1, 1) or (field[0] >= size[0] and field[1] >= size[1]):
        return
    yield Finding(
        Code.SMALL_FIELD,
        f"{maker.name}: a cell of the last maps sees {size_of(field)} of {size_of(size)} pixels",
        subject.where(*path_of(maker.name)),
        "use larger kernels, dilation or more pools before it",
        (maker.name,),
        path_of(maker.name),
        Severity.NOTE,
    )
