"""What a rule finds, and its input: a network with the positions of its layers in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from nin_spec.diagnostics import Code, Diagnostic, Severity, Span
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.types import Pair
from nin_spec.language.document import Node as Written
from nin_spec.language.document import Path_, Table, find
from nin_spec.network import Network


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `layers` names the layers concerned; `path` is that of the value a fix would change."""

    code: Code
    message: str
    span: Span
    hint: str
    layers: tuple[str, ...] = ()
    path: Path_ = ()
    severity: Severity = Severity.WARNING

    @property
    def diagnostic(self) -> Diagnostic:
        """The finding as a diagnostic."""
        return Diagnostic(self.code, self.message, self.span, self.hint, self.severity)


@dataclass(frozen=True)
class Subject:
    """The input of a rule: a network, with lookups in its layers and its text."""

    network: Network

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The layers in order."""
        return self.network.graph.nodes

    @cached_property
    def last(self) -> int:
        """The index of the last layer with weights, which computes the scores; -1 if there is none."""
        weighted = [k for k, n in enumerate(self.nodes) if isinstance(n.op, ops.Conv2d | ops.Linear)]
        return max(weighted, default=-1)

    @cached_property
    def pooled(self) -> int | None:
        """The index of the pool that reduces the last convolution's maps to one cell, if any."""
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            if isinstance(node.op, ops.Conv2d):
                return None
            if isinstance(node.op, ops.Pool2d | ops.GlobalPool2d) and node.output.shape[1:] == (1, 1):
                return k
        return None

    def field(self, end: int) -> Pair:
        """The receptive field of a cell of the input of layer `end`."""
        return self.network.graph.receptive_fields()[end - 1][0] if end else (1, 1)

    def convolutions(self) -> Iterator[tuple[Node, ops.Conv2d]]:
        """Each convolution with its op."""
        yield from ((node, node.op) for node in self.nodes if isinstance(node.op, ops.Conv2d))

    def pools(self) -> Iterator[tuple[Node, ops.Pool2d]]:
        """Each windowed pool with its op."""
        yield from ((node, node.op) for node in self.nodes if isinstance(node.op, ops.Pool2d))

    # -------------------------------------------------------------- positions

    def written(self, path: Path_) -> Written | None:
        """The value at a path of the canonical form as written, None if the language filled it in."""
        return find(self.network.spec.tree, self.spelt(path))

    def spelt(self, path: Path_) -> Path_:
        """The same path in the text: `channels: [a, b]` is equivalent to `convs: [a, b]`."""
        if path[2:3] == ("convs",) and isinstance(block := find(self.network.spec.tree, path[:2]), Table):
            return (*path[:2], "convs" if "convs" in block.entries else "channels", *path[3:])
        return path

    def where(self, *path: str | int) -> Span:
        """The span that set the value at a path, else that of the nearest enclosing one."""
        return self.network.spec.where(*path)

    def own(self, path: Path_, key: str) -> Span:
        """The span of `key` if the layer sets it, else of the layer: findings never point at a shared default."""
        said = self.written((*path, key))
        return said.span if said is not None else self.where(*path)


_SINGULAR = {"norms": "norm", "activations": "activation", "dropouts": "dropout", "shuffles": "shuffle"}


def path_of(name: str) -> Path_:
    """The canonical path of a node: `blocks.0.norms.1` is the norm of `blocks.0.convs.1`."""
    top, *rest = (int(step) if step.isdigit() else step for step in name.split("."))
    if rest[-1:] == ["flatten"]:
        return (top, "pool")
    if len(rest) > 1 and rest[-2] in _SINGULAR:
        kind, k = str(rest[-2]), rest[-1]
        return (top, *rest[:-2], "convs" if top == "blocks" else "dense", k, _SINGULAR[kind])
    return (top, *rest)


def layer_of(path: Path_) -> Path_:
    """The convolution, dense layer, block or head that a path belongs to."""
    if path[0] == "blocks":
        return path[: 4 if path[2:3] == ("convs",) else 2]
    return path[: 3 if path[1:2] == ("dense",) else 1]


def dotted(path: Path_) -> str:
    """A path in the form of messages: `blocks.0.convs.1`."""
    return ".".join(map(str, path))


def size_of(pair: tuple[int, ...]) -> str:
    """`3x3`."""
    return "x".join(map(str, pair))
