"""The branches of an If: a graph chooses one by a condition, and import follows the one that is chosen.

PyTorch's exporter writes one for LocalResponseNorm: it asks for the size of an axis, which is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nin_spec.importers.chain import reading, refusal
from nin_spec.importers.onnx.evaluate import Constant, label

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def branches_of(node: NodeProto) -> dict[str, GraphProto]:
    """The graphs of an If, by the names of its attributes; none for other operators."""
    return {a.name: a.g for a in node.attribute if a.HasField("g")} if node.op_type == "If" else {}


def inputs_of(node: NodeProto) -> list[str]:
    """The values that a node reads, and those of the graph around it that its branches read."""
    return [*node.input, *(name for graph in branches_of(node).values() for name in _captured(graph))]


def _captured(graph: GraphProto) -> Iterator[str]:
    """The values that a graph reads, or returns, and does not make."""
    own = {t.name for t in graph.initializer} | {name for node in graph.node for name in node.output}
    read = [name for node in graph.node for name in inputs_of(node)]
    yield from dict.fromkeys(name for name in (*read, *(o.name for o in graph.output)) if name and name not in own)


def taken_branch(node: NodeProto, constants: Mapping[str, Constant]) -> tuple[list[NodeProto], dict[str, Constant]]:
    """The nodes of the branch that the condition chooses, which give the If's outputs, and its constants.

    Its own values are renamed: branches of two Ifs may use a name each.
    """
    from onnx import NodeProto, numpy_helper

    condition = constants[node.input[0]]
    graph = branches_of(node).get("then_branch" if condition.all() else "else_branch")
    if condition.size != 1 or graph is None or len(graph.output) != len(node.output):
        raise refusal(label(node), "it has no branch of as many outputs for its condition")
    own = [t.name for t in graph.initializer] + [name for inner in graph.node for name in inner.output if name]
    names = {name: f"{node.name or node.output[0]}/{name}" for name in own}
    held: dict[str, Constant] = {}
    for tensor in graph.initializer:
        with reading(f"initializer {tensor.name}"):
            held[names[tensor.name]] = numpy_helper.to_array(tensor)
    made = [_renamed(inner, names) for inner in graph.node]
    ends = [(names.get(r.name, r.name), name) for r, name in zip(graph.output, node.output, strict=True) if name]
    made += [NodeProto(op_type="Identity", name=f"{node.name}/{end}", input=[a], output=[end]) for a, end in ends]
    return made, held


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """A copy of a node with other names of values, in its branches too."""
    made: NodeProto = type(node).FromString(node.SerializeToString())
    for ends in (made.input, made.output):
        ends[:] = [names.get(name, name) for name in ends]
    for graph in branches_of(made).values():
        inner = [_renamed(each, names) for each in graph.node]
        del graph.node[:]
        graph.node.extend(inner)
        for result in graph.output:
            result.name = names.get(result.name, result.name)
    return made
