"""From the nodes of an ONNX graph to a chain: along the one path from its input to its output.

A node with a rule is taken by its attributes (`rules.py`). What has none, or forks and comes
together again, is taken as one region and recognised by what it computes. A path that forks without merging, a residual
sum and a second output are outside the language, and the error names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nin_spec.importers.budget import COMPILED
from nin_spec.importers.chain import Chain, reading, refusal
from nin_spec.importers.onnx.evaluate import label
from nin_spec.importers.onnx.openness import Sizes, kind_of_size, refuse_open, refuse_rows, refuse_sizes
from nin_spec.importers.onnx.regions import OF_SIZES, hinted_by, region_of, tell_shapes, unknowable
from nin_spec.importers.onnx.rulebook import Rule
from nin_spec.importers.onnx.rules import RULES
from nin_spec.importers.onnx.walk import Walk
from nin_spec.importers.recognise import Affine, recognise
from nin_spec.ir import ops

if TYPE_CHECKING:
    from onnx import NodeProto

_MAX_REGION = 64
_HEAVY = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "BatchNormalization", "LRN", "If", "Loop", "Scan"}
)
"""Never part of a region: they hold weights, or run graphs of their own."""

_AFTER_PADDING = frozenset({"Conv", "MaxPool", "AveragePool", "Transpose"})
"""What may follow a padding: a window, which takes it up, and what moves the axes between the two."""


_OPTIMISED = "import the file as it was before onnxruntime optimised it"
_QUANTIZED = "import the float32 file from which the quantized one was made"


def follow(walk: Walk) -> Chain:
    """Go along to the output. Raises ForeignModelError."""
    _check_size(walk, f"input {walk.value!r}")
    while True:
        _tell_shape(walk)
        readers = walk.source.readers(walk.value)
        if walk.value == walk.source.output:
            if readers:
                raise refusal(label(readers[0]), "the network's output is also used inside the graph")
            return _finished(walk)
        if not readers:
            raise refusal(walk.value, "nothing uses this value, and it is not the output")
        with reading(label(readers[0])):
            _step(walk, readers, RULES.get(readers[0].op_type) if len(readers) == 1 else None)
        _check_size(walk, label(readers[0]))


def _step(walk: Walk, readers: list[NodeProto], rule: Rule | None) -> None:
    """Past one node by its rule, or past a region."""
    node = readers[0]
    refuse_open(node, walk.source.open)
    if walk.open_batch and rule is not None:
        refuse_rows(node, walk.source, len(walk.shape))
    if node.domain not in {"", "ai.onnx"}:
        why = f"an operator of the domain {node.domain!r}, which is not ONNX's own"
        raise refusal(label(node), why, _OPTIMISED if node.domain.startswith("com.microsoft") else None)
    waiting = walk.pad
    taken = (waiting is None or node.op_type in _AFTER_PADDING) and rule is not None and rule(walk, node)
    if not taken and waiting is not None:
        raise refusal(waiting.origin, "padding without a convolution or pool after it")
    if not taken:
        _region(walk, readers)


def _check_size(walk: Walk, origin: str) -> None:
    """Raises ForeignModelError where a batch of the value is more than the proof can hold."""
    walk.source.budget.check_time(origin)
    numbers = walk.batch * walk.chain.output.size
    if numbers > COMPILED.largest:
        why = f"it gives {numbers:,} elements for a batch of {walk.batch:,}; the limit is {COMPILED.largest:,}"
        raise refusal(origin, why, "export it with an open batch, and a smaller picture")


def _finished(walk: Walk) -> Chain:
    """The chain at the output, whose scores may be maps of one cell. Raises ForeignModelError."""
    output = walk.chain.output
    if walk.chain.steps and output.is_map and output.shape[1:] == (1, 1):
        walk.add(ops.Flatten(), walk.value)
        walk.remarks.append("the file's scores are maps of one cell: the spec flattens them")
    elif walk.channels_last and output.is_map:
        raise refusal(walk.value, "the output is a map with channels last")
    return walk.chain


def _tell_shape(walk: Walk) -> None:
    """What asks for the value's shape gets it, and is computed; that of padded maps is not needed."""
    if walk.pad is None:
        walk.source.tell_shape(walk.value, walk.shape, walk.open_axes)


# ------------------------------------------------------------------ regions


def _region(walk: Walk, readers: list[NodeProto]) -> None:
    """Nodes from here to where their paths meet again, as one function: the first that the language can express."""
    origin = label(readers[0])
    for nodes, result in _meetings(walk, readers):
        origin = " ... ".join(dict.fromkeys((label(nodes[0]), label(nodes[-1]))))
        region = region_of(walk, nodes, result)
        found = recognise(
            region, (walk.batch, *walk.chain.output.shape), origin, hinted_by(walk, nodes, region.constants)
        )
        if found is None:
            continue
        if isinstance(found, Affine):
            walk.rescale(found, origin)
        for op in found if isinstance(found, list) else ():
            walk.add(op, origin)
        walk.value = result
        return
    raise refusal(origin, "the language has no equivalent of what this computes")


def _meetings(walk: Walk, readers: list[NodeProto]) -> Iterator[tuple[list[NodeProto], str]]:
    """Ever more nodes after which one value alone is left, and that value."""
    met = False
    known: set[str] = {walk.value}
    sizes: Sizes = {}  # values that depend on shapes alone
    chooses = any(node.op_type == "If" for node in walk.source.nodes)
    inside: list[NodeProto] = []
    pending = list(readers)
    while pending and len(inside) < _MAX_REGION:
        node = next((n for n in _in_order(walk, pending) if _ready(walk, n, known)), None)
        heavy = node is not None and node.op_type in _HEAVY
        if node is None or heavy:
            if met:
                return
            _refuse_fork(walk, pending if node is None else [node], heavy=heavy)
        assert node is not None  # noqa: S101 refused above
        if why := _unknowable(walk, node, sizes):
            if met:
                return
            raise refusal(label(node), why, _QUANTIZED if _is_quantized(node) else None)
        inside.append(node)
        pending.remove(node)
        known.update(node.output)
        if chooses and tell_shapes(walk, inside):  # an If among those that wait may have become one of its branches
            pending = [n for n in pending if any(n is live for live in walk.source.nodes)]
        for output in node.output:
            pending += [n for n in walk.source.readers(output) if n not in inside and n not in pending]
        live = [v for v in known if v and any(n not in inside for n in walk.source.readers(v))]
        live += [v for v in known if v == walk.source.output]
        if len(set(live)) == 1 and live[0] in node.output:
            met = True
            yield inside, live[0]
    if not met:
        _refuse_fork(walk, readers)


def _unknowable(walk: Walk, node: NodeProto, sizes: Sizes) -> str | None:
    """Why a region can't have the node; None, and the node's results among `sizes` if they depend on shapes alone.

    Raises ForeignModelError where it computes with what the file leaves open.
    """
    refuse_open(node, walk.source.open)
    is_open = bool(walk.open_axes.any())
    if node.op_type in {"Shape", "Size"} or {*node.input} <= {*walk.source.constants, *sizes, ""}:
        sizes.update(dict.fromkeys(node.output, kind_of_size(node, sizes, is_open=is_open)))
        return None if node.op_type in OF_SIZES else unknowable(node)
    refuse_sizes(node, sizes, is_open=is_open)
    if walk.open_batch:
        refuse_rows(node, walk.source, len(walk.shape) if node.input and node.input[0] == walk.value else None)
    return unknowable(node)


def _is_quantized(node: NodeProto) -> bool:
    """Whether a node computes in whole numbers, or comes from or leads to them."""
    return "Quantize" in node.op_type or node.op_type.startswith("QLinear") or node.op_type.endswith("Integer")


def _in_order(walk: Walk, nodes: list[NodeProto]) -> list[NodeProto]:
    """Nodes in the order of the graph."""
    place = {id(node): k for k, node in enumerate(walk.source.nodes)}
    return sorted(nodes, key=lambda node: place[id(node)])


def _ready(walk: Walk, node: NodeProto, known: set[str]) -> bool:
    """Whether all that a node reads is known."""
    return all(not name or name in known or name in walk.source.constants for name in node.input)


def _refuse_fork(walk: Walk, nodes: list[NodeProto], *, heavy: bool = False) -> None:
    """Raises ForeignModelError, with the users of the value that forks, or the node that no region may have."""
    readers = walk.source.readers(walk.value)
    if heavy and len(readers) == 1:
        raise refusal(label(nodes[0]), "the language has no equivalent of it here")
    names = ", ".join(label(node) for node in readers[:4])
    why = f"the value {walk.value!r} has several users ({names}), but a network of the language is a chain"
    raise refusal(label(nodes[0]), why, "residual sums, side branches and further outputs are outside the language")
