"""Rules about single layers: biases that norms cancel, and widths that hardware handles poorly."""

from __future__ import annotations

from collections.abc import Iterator

from nin_spec.diagnostics import Code, Severity, Span
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.language.document import Path_
from nin_spec.lint.finding import Finding, Subject, path_of

_TILE = 8
"""Channels per tensor core tile in half precision (NVIDIA, Deep Learning Performance guide)."""

_CARRIES_BIAS = (ops.Flatten, ops.AdaptiveAvgPool2d)
"""Ops that preserve a constant added to every cell of a channel."""


def useless_bias(subject: Subject) -> Iterator[Finding]:
    """NIN908: one finding for each setting that puts a norm after biases."""
    places: dict[Span, list[tuple[Node, Path_]]] = {}
    for node, norm in _biased(subject):
        path, by = path_of(node.name), path_of(norm.name)
        said = subject.written((*path, "bias"))
        span = said.span if said is not None else subject.where(*by, "kind")
        places.setdefault(span, []).append((node, by))
    for span, found in places.items():
        names = tuple(node.name for node, _ in found)
        yield Finding(
            Code.USELESS_BIAS,
            f"{_listed(names)}: batch norm cancels the bias",
            span,
            "set bias: false beside the norm, which has its own offset",
            names,
            path_of(names[0]),
        )


def _biased(subject: Subject) -> Iterator[tuple[Node, Node]]:
    """Each layer with a bias that a batch norm cancels, and the norm."""
    for k, node in enumerate(subject.nodes):
        if isinstance(node.op, ops.Conv2d | ops.Linear) and node.op.bias:
            rest = (n for n in subject.nodes[k + 1 :] if not isinstance(n.op, _CARRIES_BIAS))
            after = next(rest, None)
            if after is not None and isinstance(after.op, ops.BatchNorm) and _channelwise(node, after):
                yield node, after


def _channelwise(node: Node, norm: Node) -> bool:
    """Whether the norm's channels are the layer's: a flatten of more than one cell changes them."""
    return node.output.shape[0] == norm.input.shape[0]


def _listed(names: tuple[str, ...]) -> str:
    if len(names) < 4:
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{len(names)} layers from {names[0]} to {names[-1]}"


def odd_channels(subject: Subject) -> Iterator[Finding]:
    """NIN910: widths that are not a multiple of 8, other than the classes and tiny layers."""
    if subject.network.graph.input.dtype != "float32":
        return
    classes = subject.network.spec.spec.class_count
    for node, op in subject.convolutions():
        width = op.out_channels
        makes_scores = width == classes or node is subject.nodes[subject.last]
        if width > _TILE and width % _TILE and not makes_scores:
            path = path_of(node.name)
            better = -(-width // _TILE) * _TILE
            yield Finding(
                Code.ODD_CHANNELS,
                f"{node.name}: {width} channels cost as much as {better} on tensor cores",
                subject.where(*path, "channels"),
                f"use a multiple of {_TILE}",
                (node.name,),
                path,
                Severity.NOTE,
            )
