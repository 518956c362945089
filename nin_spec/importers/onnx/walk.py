"""From the nodes of an ONNX graph to a chain: along the one path from its input to its output.

A node with a rule is taken by its attributes (`rules.py`). What has none, or forks and comes
together again, is taken as one region and recognised by what it computes. A path that parts for good, a
residual sum, a second output: those are outside the language, and are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nin_spec.importers.budget import MAX_VALUES
from nin_spec.importers.chain import Array, Chain, Step, reading, refusal
from nin_spec.importers.onnx.evaluate import label
from nin_spec.importers.onnx.file import Source
from nin_spec.importers.onnx.regions import hinted_by, region_of, unknowable
from nin_spec.importers.padding import Pending
from nin_spec.importers.recognise import Affine, recognise
from nin_spec.importers.rescaling import rescaled
from nin_spec.ir import ops

if TYPE_CHECKING:
    from onnx import NodeProto

_MAX_REGION = 64
Rule = Callable[["Walk", "NodeProto"], bool]
"""Moves the walk on past a node; False where the node is not of the kind that it knows."""
_HEAVY = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "BatchNormalization", "LRN", "If", "Loop", "Scan"}
)
"""Never part of a region: they hold weights, or run graphs of their own."""


_AFTER_PADDING = frozenset({"Conv", "MaxPool", "AveragePool", "Transpose"})
"""What may follow a padding: a window, which takes it up, and what moves the axes between the two."""


@dataclass
class Walk:
    """Where a walk stands: the chain so far, and the value that it has come to.

    `channels_last` says that the value's axes are (N, H, W, C) now; `columns` are features that were flattened
    in that order; `pad` is a padding that waits for its window; `contract` is a change of scale before the first step.
    """

    source: Source
    chain: Chain
    value: str
    batch: int = 1
    channels_last: bool = False
    columns: NDArray[np.int64] | None = None
    pad: Pending | None = None
    contract: Affine | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's own shape in the file, with a batch of its own."""
        shape = self.chain.output.shape
        return (self.batch, *shape[1:], shape[0]) if self.channels_last and len(shape) == 3 else (self.batch, *shape)

    def add(self, op: ops.Op, origin: str, **arrays: Array) -> None:
        """A step of the chain."""
        dtype = self.chain.input.dtype
        held = {key: np.ascontiguousarray(array, dtype) for key, array in arrays.items()}
        self.chain = self.chain.then(op, origin, **held)

    @property
    def last(self) -> Step | None:
        """The step that the value comes from."""
        return self.chain.steps[-1] if self.chain.steps else None

    def go(self) -> Chain:
        """Walk to the output. Raises ForeignModelError."""
        from nin_spec.importers.onnx.rules import RULES

        self._check_size(f"input {self.value!r}")
        while True:
            self._tell_shape()
            readers = self.source.readers(self.value)
            if self.value == self.source.output:
                if readers:
                    raise refusal(label(readers[0]), "the network's output is used again inside")
                return self._finished()
            if not readers:
                raise refusal(self.value, "nothing uses this value, and it is not the output")
            with reading(label(readers[0])):
                self._step(readers, RULES.get(readers[0].op_type) if len(readers) == 1 else None)
            self._check_size(label(readers[0]))

    def _step(self, readers: list[NodeProto], rule: Rule | None) -> None:
        """Past one node by its rule, or past a region."""
        node = readers[0]
        if node.domain not in {"", "ai.onnx"}:
            raise refusal(label(node), f"an operator of the domain {node.domain!r}, which is not ONNX's own")
        waiting = self.pad
        taken = (waiting is None or node.op_type in _AFTER_PADDING) and rule is not None and rule(self, node)
        if not taken and waiting is not None:
            raise refusal(waiting.origin, "padding that no convolution or pool follows")
        if not taken:
            self._region(readers)

    def _check_size(self, origin: str) -> None:
        """Raises ForeignModelError where a batch of the value is more than the proof can hold."""
        self.source.budget.check_time(origin)
        numbers = self.batch * self.chain.output.size
        if numbers > MAX_VALUES:
            why = f"it gives {numbers:,} elements for a batch of {self.batch:,}; the limit is {MAX_VALUES:,}"
            raise refusal(origin, why, "export it with an open batch, and a smaller picture")

    def _finished(self) -> Chain:
        if self.channels_last and self.chain.output.is_map and self.chain.output.shape[1:] != (1, 1):
            raise refusal(self.value, "the output is a map with its channels last")
        return self.chain

    def _tell_shape(self) -> None:
        """What asks for the value's shape gets it, and is computed; that of padded maps has no need to be told."""
        for node in self.source.users.get(self.value, []) if self.pad is None else ():
            if node.op_type in {"Shape", "Size"} and node.output[0] not in self.source.constants:
                shape = np.array(self.shape, np.int64)
                start, end = (next((a.i for a in node.attribute if a.name == key), None) for key in ("start", "end"))
                told = shape[start:end] if node.op_type == "Shape" else np.array(shape.prod())
                self.source.constants[node.output[0]] = told
                self.source.fold(self.source.users.get(node.output[0], []))

    # -------------------------------------------------------------- regions

    def _region(self, readers: list[NodeProto]) -> None:
        """Nodes from here to where their paths meet again, as one function: the first such that has a word."""
        origin = label(readers[0])
        for nodes, result in self._meetings(readers):
            origin = " ... ".join(dict.fromkeys((label(nodes[0]), label(nodes[-1]))))
            region = region_of(self, nodes, result)
            found = recognise(
                region, (self.batch, *self.chain.output.shape), origin, hinted_by(self, nodes, region.constants)
            )
            if found is None:
                continue
            if isinstance(found, Affine):
                self.rescale(found, origin)
            for op in found if isinstance(found, list) else ():
                self.add(op, origin)
            self.value = result
            return
        raise refusal(origin, "the language has no word for what this computes")

    def _meetings(self, readers: list[NodeProto]) -> Iterator[tuple[list[NodeProto], str]]:
        """Ever more nodes after which one value alone is left, and that value."""
        met = False
        known: set[str] = {self.value}
        sizes: set[str] = set()  # values that depend on shapes alone
        inside: list[NodeProto] = []
        pending = list(readers)
        while pending and len(inside) < _MAX_REGION:
            node = next((n for n in self._in_order(pending) if self._ready(n, known)), None)
            heavy = node is not None and (node.op_type in _HEAVY or any(a.HasField("g") for a in node.attribute))
            if node is None or heavy:
                if met:
                    return
                self._refuse_fork(pending if node is None else [node], heavy=heavy)
            assert node is not None  # noqa: S101 refused above
            tells_size = node.op_type in {"Shape", "Size"} or {*node.input} <= {*self.source.constants, *sizes, ""}
            if tells_size:
                sizes.update(node.output)
            elif why := unknowable(node):
                if met:
                    return
                raise refusal(label(node), why)
            inside.append(node)
            pending.remove(node)
            known.update(node.output)
            for output in node.output:
                pending += [n for n in self.source.readers(output) if n not in inside and n not in pending]
            live = [v for v in known if v and any(n not in inside for n in self.source.readers(v))]
            live += [v for v in known if v == self.source.output]
            if len(set(live)) == 1 and live[0] in node.output:
                met = True
                yield inside, live[0]
        if not met:
            self._refuse_fork(readers)

    def _in_order(self, nodes: list[NodeProto]) -> list[NodeProto]:
        place = {id(node): k for k, node in enumerate(self.source.nodes)}
        return sorted(nodes, key=lambda node: place[id(node)])

    def _ready(self, node: NodeProto, known: set[str]) -> bool:
        return all(not name or name in known or name in self.source.constants for name in node.input)

    def _refuse_fork(self, nodes: list[NodeProto], *, heavy: bool = False) -> None:
        readers = self.source.readers(self.value)
        if heavy and len(readers) == 1:
            raise refusal(label(nodes[0]), "the language has no word for it here")
        names = ", ".join(label(node) for node in readers[:4])
        why = f"the value {self.value!r} goes more than one way ({names}), and a network of the language is a chain"
        raise refusal(label(nodes[0]), why, "residual sums, side branches and further outputs are outside the language")

    # -------------------------------------------------------------- scale

    def rescale(self, change: Affine, origin: str) -> None:
        """A change of scale: part of the input's contract, of the layer before, or a norm of its own."""
        gain, offset = change.gain, change.offset
        if np.all(gain == 1) and np.all(offset == 0):
            return
        if not self.chain.steps:
            before = self.contract or Affine(np.ones_like(gain), np.zeros_like(gain))
            self.contract = Affine(gain * before.gain, gain * before.offset + offset)
            return
        self.chain = rescaled(self.chain, change, origin)
