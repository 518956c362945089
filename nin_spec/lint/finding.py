"""What a rule finds, and what it looks at: a network with the places of its layers in the text."""

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
    """One finding. `layers` names the layers meant; `path` is the value that a fix would change."""

    code: Code
    message: str
    span: Span
    hint: str
    layers: tuple[str, ...] = ()
    path: Path_ = ()
    severity: Severity = Severity.WARNING

    @property
    def diagnostic(self) -> Diagnostic:
        """As it is shown."""
        return Diagnostic(self.code, self.message, self.span, self.hint, self.severity)


@dataclass(frozen=True)
class Subject:
    """A network as the rules see it."""

    network: Network

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The layers in order."""
        return self.network.graph.nodes

    @cached_property
    def last(self) -> int:
        """The index of the layer that makes the scores, the last with weights of its own; -1 without one."""
        weighted = [k for k, n in enumerate(self.nodes) if isinstance(n.op, ops.Conv2d | ops.Linear)]
        return max(weighted, default=-1)

    @cached_property
    def pooled(self) -> int | None:
        """The index of the pool that leaves one cell of the last convolution's maps, if there is one."""
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            if isinstance(node.op, ops.Conv2d):
                return None
            if isinstance(node.op, ops.Pool2d | ops.GlobalPool2d) and node.output.shape[1:] == (1, 1):
                return k
        return None

    def field(self, end: int) -> Pair:
        """The pixels that a cell sees of what goes into layer `end`."""
        reach, jump = (1, 1), (1, 1)
        for node in self.nodes[:end]:
            extent, stride = node.op.window(node.input)
            reach = (reach[0] + (extent[0] - 1) * jump[0], reach[1] + (extent[1] - 1) * jump[1])
            jump = (jump[0] * stride[0], jump[1] * stride[1])
        return reach

    def convolutions(self) -> Iterator[tuple[Node, ops.Conv2d]]:
        """Each convolution with its op."""
        yield from ((node, node.op) for node in self.nodes if isinstance(node.op, ops.Conv2d))

    def pools(self) -> Iterator[tuple[Node, ops.Pool2d]]:
        """Each pool of windows with its op."""
        yield from ((node, node.op) for node in self.nodes if isinstance(node.op, ops.Pool2d))

    # -------------------------------------------------------------- places

    def written(self, path: Path_) -> Written | None:
        """What the text says at a path of the canonical form, without what the language fills in."""
        return find(self.network.spec.tree, self.spelt(path))

    def spelt(self, path: Path_) -> Path_:
        """The same path as the text has it: `channels: [a, b]` says the same as `convs: [a, b]`."""
        if path[2:3] == ("convs",) and isinstance(block := find(self.network.spec.tree, path[:2]), Table):
            return (*path[:2], "convs" if "convs" in block.entries else "channels", *path[3:])
        return path

    def where(self, *path: str | int) -> Span:
        """Where the value at a path was said, else what holds it."""
        return self.network.spec.where(*path)

    def own(self, path: Path_, key: str) -> Span:
        """Where a layer says `key` itself, else the layer: what all layers share is no place for a finding."""
        said = self.written((*path, key))
        return said.span if said is not None else self.where(*path)


_SINGULAR = {"norms": "norm", "activations": "activation", "dropouts": "dropout", "shuffles": "shuffle"}


def path_of(name: str) -> Path_:
    """Where the canonical form has a node: `blocks.0.norms.1` is the norm of `blocks.0.convs.1`."""
    top, *rest = (int(step) if step.isdigit() else step for step in name.split("."))
    if rest[-1:] == ["flatten"]:
        return (top, "pool")
    if len(rest) > 1 and rest[-2] in _SINGULAR:
        kind, k = str(rest[-2]), rest[-1]
        return (top, *rest[:-2], "convs" if top == "blocks" else "dense", k, _SINGULAR[kind])
    return (top, *rest)


def layer_of(path: Path_) -> Path_:
    """The convolution, dense layer, block or head that a path speaks of."""
    if path[0] == "blocks":
        return path[: 4 if path[2:3] == ("convs",) else 2]
    return path[: 3 if path[1:2] == ("dense",) else 1]


def dotted(path: Path_) -> str:
    """A path as messages have it: `blocks.0.convs.1`."""
    return ".".join(map(str, path))


def size_of(pair: tuple[int, ...]) -> str:
    """`3x3`."""
    return "x".join(map(str, pair))
