"""What is checked of an ONNX file before anything in it is computed: names, order, operators, functions.

ONNX's own checker judges each node by the definition of its operator. What it leaves out is that values have one maker,
that nothing depends on itself, and that functions end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from nin_spec.importers.chain import refusal
from nin_spec.importers.onnx.branches import branches_of, inputs_of
from nin_spec.importers.onnx.evaluate import label

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

MAX_NODES = 20_000
Key = tuple[str, str]


def check_functions(model: ModelProto, origin: str) -> None:
    """Raises ForeignModelError where a function calls itself, or calls expand to more nodes than a graph may have."""
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[Key, int] = {}

    def size_of(nodes: Iterable[NodeProto], above: tuple[Key, ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in above:
                raise refusal(f"function {node.op_type}", "it calls itself")
            if key in functions and key not in sizes:
                sizes[key] = size_of(functions[key].node, (*above, key))
            total += sizes.get(key, 1)
            if total > MAX_NODES:
                raise refusal(origin, f"its functions expand to more than {MAX_NODES:,} nodes, which is the limit")
        return total

    size_of(model.graph.node, ())


def check_texts(model: ModelProto, origin: str) -> None:
    """Raises ForeignModelError for a name that is not UTF-8: protobuf gives it as bytes."""
    for text in _texts(model):
        if not isinstance(text, str):
            raise refusal(origin, f"it has a name that is not UTF-8: {text!r}")


def _texts(model: ModelProto) -> Iterator[Any]:
    """Every name and text of a model."""
    yield from (model.producer_name, model.graph.name)
    for opset in model.opset_import:
        yield opset.domain
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    yield from _texts_of_graph(model.graph)
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output)
        yield from _texts_of_nodes(function)


def _texts_of_graph(graph: GraphProto) -> Iterator[Any]:
    """Those of a graph and of the graphs inside."""
    for value in (*graph.input, *graph.output, *graph.initializer):
        yield value.name
    yield from _texts_of_nodes(graph)


def _texts_of_nodes(graph: GraphProto | FunctionProto) -> Iterator[Any]:
    """Those of the nodes of a graph or a function."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.HasField("g"):
                yield from _texts_of_graph(attribute.g)


def check_graph(model: ModelProto, origin: str) -> None:
    """Raises ForeignModelError, at the node, for what is not a graph of ONNX's operators."""
    graph = model.graph
    if (count := _count(graph)) > MAX_NODES:
        raise refusal(origin, f"it has {count:,} nodes; the limit is {MAX_NODES:,}")
    if graph.sparse_initializer:
        raise refusal(origin, "it has sparse weights; only dense ones are supported")
    _check_order(graph)
    _check_nodes(model)


def _count(graph: GraphProto) -> int:
    """The nodes of a graph and its branches."""
    return sum(1 + sum(map(_count, branches_of(node).values())) for node in graph.node)


def _check_order(graph: GraphProto, around: frozenset[str] = frozenset()) -> None:
    """Each value has one maker, and no node waits for itself. `around` are the values of the graph around a branch."""
    given = {value.name for value in (*graph.input, *graph.initializer)} | around
    makers: dict[str, int] = {}
    for k, node in enumerate(graph.node):
        for value in filter(None, node.output):
            if value in given or value in makers:
                raise refusal(label(node), f"its output {value!r} is already the name of another value")
            makers[value] = k
    for node in graph.node:
        missing = next((name for name in inputs_of(node) if name and name not in given and name not in makers), None)
        if missing is not None:
            raise refusal(label(node), f"no node produces its input {missing!r}")
    needs = {k: {makers[name] for name in inputs_of(node) if name in makers} for k, node in enumerate(graph.node)}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        node = graph.node[error.args[1][0]]
        raise refusal(label(node), "its input depends on its own output: the graph has a cycle") from None
    for node in graph.node:
        for branch in branches_of(node).values():
            _check_order(branch, frozenset(given | makers.keys()))


def _check_nodes(model: ModelProto) -> None:
    """Each node by its operator's definition."""
    from onnx import checker

    context = type(checker.DEFAULT_CONTEXT)()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    _check_each(model.graph, context)


def _check_each(graph: GraphProto, context: Any) -> None:
    """Each node of a graph and of its branches."""
    from onnx import TensorProto, checker

    for node in graph.node:
        branches = branches_of(node)
        if len(branches) < sum(a.HasField("g") + len(a.graphs) for a in node.attribute):
            raise refusal(label(node), "it has a subgraph, and the language describes chains")
        if any(t.data_location == TensorProto.EXTERNAL for a in node.attribute for t in (a.t, *a.tensors)):
            raise refusal(label(node), "its constant is in another file, where only initializers may be")
        if branches:
            for branch in branches.values():
                _check_branch(branch, label(node), context)
            continue
        if node.domain not in {"", "ai.onnx"}:
            continue  # refused where it matters: at its place on the path
        try:
            checker.check_node(node, context)
        except checker.ValidationError as error:
            raise refusal(
                label(node), f"it does not match ONNX's definition: {str(error).strip().splitlines()[0]}"
            ) from error


def _check_branch(branch: GraphProto, origin: str, context: Any) -> None:
    """The branch of an If: what it may hold, and its nodes."""
    from onnx import TensorProto

    if branch.input or branch.sparse_initializer:
        raise refusal(origin, "its branch has inputs or sparse weights")
    if any(t.data_location == TensorProto.EXTERNAL or min(t.dims, default=0) < 0 for t in branch.initializer):
        raise refusal(origin, "its branch has a constant in another file, or of a negative dimension")
    _check_each(branch, context)
