"""Untrusted reading of an ONNX file: its contents, its constants, and the users of each value."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec.diagnostics import counted
from nin_spec.importers.budget import Budget
from nin_spec.importers.chain import reading, refusal
from nin_spec.importers.contents import read_bytes
from nin_spec.importers.onnx.branches import inputs_of, taken_branch
from nin_spec.importers.onnx.check import check_functions, check_graph, check_texts
from nin_spec.importers.onnx.evaluate import Constant, evaluate_node, label
from nin_spec.importers.onnx.openness import Mask, opened_by, refuse_open

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

MAX_BYTES = 1 << 31
_FOLDED = frozenset({
    *("Identity", "Cast", "Shape", "Size", "Gather", "Concat", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose"),
    *("Add", "Sub", "Mul", "Div", "Neg", "Sqrt", "Reciprocal", "Pow", "Exp", "Flatten", "ReduceProd", "Floor", "Ceil"),
    *("Max", "Min", "Equal", "Where", "Constant", "Expand", "ConstantOfShape", "Range", "CastLike"),
})  # fmt: skip
_ASKING = frozenset({"Shape", "Size"})
_FLOATS = ("BFLOAT16", "FLOAT16", "FLOAT", "DOUBLE")
"""From coarse to fine."""


@dataclass
class Source:
    """A graph with its constants: `users` are the nodes that read a value, in order.

    `nodes` are those that an output depends on, with the branch of an If in its place once its condition is known;
    `written` are the same as the file has them. `open` says which elements of a constant depend on what the file leaves
    open (`openness.py`).
    """

    name: str
    opset: int
    input: ValueInfoProto
    outputs: tuple[str, ...]
    model: ModelProto
    metadata: dict[str, str]
    constants: dict[str, Constant]
    nodes: list[NodeProto]
    users: dict[str, list[NodeProto]] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    written: list[NodeProto] = field(default_factory=list)
    open: dict[str, Mask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.written = self.written or _live(self.nodes, self.outputs)
        self._connect(self.nodes)
        self.fold(self.nodes)

    def _connect(self, nodes: list[NodeProto]) -> None:
        """Set the nodes, and the users of each value."""
        self.nodes = _live(nodes, self.outputs)
        self.users.clear()
        for node in self.nodes:
            for value in dict.fromkeys(inputs_of(node)):
                self.users.setdefault(value, []).append(node)

    @property
    def output(self) -> str:
        """The one output. Raises ForeignModelError where there are more."""
        if len(self.outputs) != 1:
            raise refusal(self.name, _ends(1, len(self.outputs)))
        return self.outputs[0]

    def runnable(self, path: Path) -> bytes | Path:
        """What the proof runs: the file, or a copy without the nodes that no output depends on.

        onnxruntime would compute those that depend on constants alone, at any cost; and a dimension of 0, by which
        tools mean any, would be 0 to it.
        """
        from onnx import numpy_helper

        zeros = any(d.HasField("dim_value") and d.dim_value == 0 for d in self.input.type.tensor_type.shape.dim)
        if len(self.written) == len(self.model.graph.node) and not zeros:
            return path
        model = type(self.model)()
        model.CopyFrom(self.model)
        used = {name for node in self.written for name in inputs_of(node)} | set(self.outputs)
        tensors = [tensor.name for tensor in self.model.graph.initializer]
        inputs = [value for value in self.model.graph.input if value.name in used or value.name not in tensors]
        for part in (model.graph.node, model.graph.initializer, model.graph.input):
            del part[:]
        model.graph.node.extend(self.written)
        model.graph.input.extend(inputs)
        model.graph.initializer.extend(numpy_helper.from_array(self.constants[n], n) for n in tensors if n in used)
        for value in (*model.graph.input, *model.graph.output):
            for dim in value.type.tensor_type.shape.dim:
                if dim.HasField("dim_value") and dim.dim_value == 0:
                    dim.Clear()
        data: bytes = model.SerializeToString()
        return data

    def fresh(self) -> Source:
        """The same graph for another walk, without what an earlier one found of the picture's size."""
        return replace(self, constants=dict(self.constants), open=dict(self.open), users={})

    def fold(self, nodes: Iterable[NodeProto]) -> None:
        """Compute what depends on constants alone, and what then does."""
        waiting = deque(nodes)
        while waiting:
            node = waiting.popleft()
            if self._known(node) or not all(not name or name in self.constants for name in node.input):
                continue
            if node.op_type == "If":
                self._choose(node)
                waiting += self.nodes
                continue
            if node.op_type not in _FOLDED:
                why = "it is computed from constants alone, by an operator that import does not evaluate"
                raise refusal(label(node), why, "fold the file's constants with onnxsim or onnxruntime")
            for name, value in zip(node.output, self.evaluate(node, self.constants, kept=True), strict=True):
                self.constants[name] = value
                waiting += self.users.get(name, [])
            self.open |= opened_by(node, self)

    def _choose(self, node: NodeProto) -> None:
        """Put the branch that is taken in the place of an If whose condition is known."""
        if node not in self.nodes:
            return
        refuse_open(node, self.open)
        made, constants = taken_branch(node, self.constants)
        self.constants |= constants
        at = self.nodes.index(node)
        self._connect([*self.nodes[:at], *made, *self.nodes[at + 1 :]])

    def asks_shape(self, value: str) -> bool:
        """Whether a node needs the value's shape, and has not got it."""
        return any(node.op_type in _ASKING and not self._known(node) for node in self.users.get(value, []))

    def tell_shape(self, value: str, shape: tuple[int, ...], open_: Mask) -> None:
        """Compute what asks for the value's shape, and what then can be. `open_` marks the axes of an open size."""
        for node in self.users.get(value, []):
            if node.op_type in _ASKING and not self._known(node):
                start, end = (next((a.i for a in node.attribute if a.name == key), None) for key in ("start", "end"))
                ends = slice(start, end) if node.op_type == "Shape" else slice(None)
                name, sizes, mask = node.output[0], np.array(shape, np.int64)[ends], open_[ends]
                whole = node.op_type == "Size"
                self.constants[name] = np.array(sizes.prod()) if whole else sizes
                if mask.any():
                    self.open[name] = np.array(int(mask.any())) if whole else mask
                self.fold(self.users.get(name, []))

    def evaluate(self, node: NodeProto, values: Mapping[str, Constant], *, kept: bool = False) -> list[Constant]:
        """The results of one node, within the budget. Raises ForeignModelError."""
        return evaluate_node(node, values, self.opset, self.budget, kept=kept)

    @property
    def numbers(self) -> frozenset[str]:
        """The types of numbers that the graph may compute in without a loss: those of its weights, and wider ones."""
        from onnx import TensorProto, helper

        kinds = [helper.np_dtype_to_tensor_dtype(w.dtype) for w in self.constants.values() if w.ndim > 1]
        names = [TensorProto.DataType.Name(kind) for kind in kinds]
        finest = max((_FLOATS.index(name) for name in names if name in _FLOATS), default=len(_FLOATS) - 2)
        return frozenset(_FLOATS[finest:])

    def _known(self, node: NodeProto) -> bool:
        """Whether the results of a node are computed."""
        return all(name in self.constants for name in node.output)

    def readers(self, value: str) -> list[NodeProto]:
        """The nodes that compute with a value; those whose results are known already do not count."""
        return [node for node in self.users.get(value, []) if not self._known(node)]


def _ends(inputs: int, outputs: int) -> str:
    """Why a graph of these ends is not a classifier."""
    return f"it has {counted(inputs, 'input')} and {counted(outputs, 'output')}; a classifier has one each"


def _live(nodes: list[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that these values depend on, in their order."""
    makers = {value: node for node in nodes for value in node.output if value}
    waiting, seen = [*outputs], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            waiting += inputs_of(node)
    return [node for node in nodes if id(node) in seen]


def read_source(path: Path) -> Source:
    """The graph in a file. Raises ForeignModelError unless it is a self-contained ONNX classifier."""
    import onnx
    from onnx import numpy_helper

    model = _load(path)
    graph = model.graph
    constants: dict[str, Constant] = {}
    for tensor in graph.initializer:
        with reading(f"initializer {tensor.name}"):
            if min(tensor.dims, default=0) < 0:
                raise ValueError(f"a dimension of {min(tensor.dims)}")
            constants[tensor.name] = numpy_helper.to_array(tensor, str(path.parent))
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or not graph.output:
        raise refusal(str(path), _ends(len(inputs), len(graph.output)))
    opsets = [o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}]
    if not opsets:
        raise refusal(str(path), "it does not declare its opset")
    for what, version, newest in (
        ("opset", opsets[0], onnx.defs.onnx_opset_version()),
        ("IR version", model.ir_version, onnx.IR_VERSION),
    ):
        if not 1 <= version <= newest:
            raise refusal(str(path), f"its {what} is {version}; onnx {onnx.__version__} supports 1 to {newest}")
    check_graph(model, str(path))
    return Source(
        name=path.stem,
        opset=opsets[0],
        input=inputs[0],
        outputs=tuple(value.name for value in graph.output),
        model=model,
        metadata={p.key: p.value for p in model.metadata_props},
        constants=constants,
        nodes=list(graph.node),
    )


def _load(path: Path) -> ModelProto:
    """The model in a file, its functions inlined. Raises ForeignModelError."""
    import onnx
    from onnx import inliner

    data = read_bytes(path, MAX_BYTES)
    if not data:
        raise refusal(str(path), "it is empty")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own error types vary
        raise refusal(str(path), "it is not an ONNX file, or it is truncated") from error
    check_texts(model, str(path))
    check_functions(model, str(path))
    for tensor in model.graph.initializer:
        _check_external(tensor, path.parent)
    if not model.functions:
        return model
    with reading(str(path)):
        return inliner.inline_local_functions(model)


def _check_external(tensor: Any, folder: Path) -> None:
    """A tensor's bytes may lie in another file of the same folder, and nowhere else."""
    import onnx

    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    target = folder / location
    inside = location and not Path(location).is_absolute() and target.resolve().is_relative_to(folder.resolve())
    if not inside or not target.is_file():
        where = f"initializer {tensor.name}"
        raise refusal(where, f"its data is in {location!r}, which is not a file in the model's folder")
