"""Models as ONNX: written node by node from the graph, without torch and without tracing.

Opset 17 and IR version 8 by default, which onnxruntime loads from 1.12 on. The file is self-contained
and describes itself in its metadata; two exports of a model give the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from nin_spec.analysis import MACS_CONVENTION
from nin_spec.diagnostics import Code, Diagnostic, ExportError
from nin_spec.exporter import Artifact
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import TensorType
from nin_spec.model import Model
from nin_spec.passes import run_passes
from nin_spec.passes.drop_identities import drop_identities
from nin_spec.passes.explicit_pools import explicit_pools
from nin_spec.passes.global_pools import global_pools

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

DEFAULT_OPSET = 17
OPSETS = (13, 26)
PASSES = (drop_identities, explicit_pools, global_pools)
MAX_BYTES = (1 << 31) - (1 << 20)
"""Protocol buffers end at 2 GiB; the rest of the file needs little."""


class OnnxOptions(BaseModel):
    """What can be chosen about an ONNX file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    opset: int | None = Field(None, ge=OPSETS[0], le=OPSETS[1], description="ONNX opset, 13 to 26; 17 if left out.")
    batch: Literal["dynamic"] | int = Field(
        "dynamic", description="`dynamic` takes any batch size, a number that one alone."
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32",
        description="Numbers of the file; onnxruntime has no float64 convolution on the CPU.",
    )


class OnnxExporter:
    """Write one self-contained ONNX file."""

    name: ClassVar[str] = "onnx"
    Options: ClassVar[type[BaseModel]] = OnnxOptions

    def export(self, model: Model, options: OnnxOptions) -> Artifact:
        """`<name>.onnx`. Raises ExportError for what the opset or the format can't hold."""
        if options.batch != "dynamic" and not 1 <= options.batch <= 1 << 20:
            raise _refuse(f"a batch of {options.batch}", "say dynamic, or a number from 1")
        _fits(model, options)
        graph = run_passes(model.graph, PASSES)
        opset = choose_opset(graph, options.opset)
        proto = _build(model, graph, opset, options)
        remarks = []
        if model.graph.input.dtype != options.dtype:
            remarks.append(f"the spec computes in {model.graph.input.dtype}, the file in {options.dtype}")
        if options.opset is None and opset != DEFAULT_OPSET:
            remarks.append(f"opset {opset}: an open size with a ceil-mode average needs it")
        data: bytes = proto.SerializeToString(deterministic=True)
        return Artifact({f"{graph.name}.onnx": data}, tuple(remarks))


def choose_opset(graph: Graph, asked: int | None) -> int:
    """The opset asked for, else the lowest that says the graph exactly, 17 at least."""
    rounded = [n for n in graph if isinstance(n.op, ops.AvgPool2d) and n.op.ceil_mode]
    # Before opset 19 the divisor of a partial window was left open, and runtimes differed. Where the size
    # is fixed the rules write such pools without ceil_mode, so it matters for open sizes alone.
    needed = 19 if graph.open_size and rounded else OPSETS[0]
    if asked is None:
        return max(DEFAULT_OPSET, needed)
    if asked < needed:
        message = f"opset {asked} leaves open what {rounded[0].name}, a ceil-mode average of an open size, divides by"
        raise ExportError(Diagnostic(Code.EXPORT_OPTION, message, rounded[0].span, f"ask for opset {needed} or later"))
    return asked


def _refuse(message: str, hint: str) -> ExportError:
    return ExportError(Diagnostic(Code.EXPORT_OPTION, message, hint=hint))


def _fits(model: Model, options: OnnxOptions) -> None:
    """The weights must fit into the format, and into the numbers of the file."""
    import numpy as np

    size = sum(w.size for w in model.weights.values()) * np.dtype(options.dtype).itemsize
    if size > MAX_BYTES:
        raise _refuse(f"{size:,} bytes of weights; one ONNX file holds 2 GiB", "make the network smaller")
    largest = np.finfo(options.dtype).max
    for name, array in model.weights.items():
        if array.size and not np.all(np.abs(array) <= largest):
            raise _refuse(f"{name} holds a number that {options.dtype} can't", "ask for --dtype float64")


def ir_version(opset: int) -> int:
    """The IR version that an opset came with: whatever runtime knows the opset loads it."""
    from onnx.helper import VERSION_TABLE

    return min(ir for _, ir, onnx_opset, *_ in VERSION_TABLE if onnx_opset == opset)


def _build(model: Model, graph: Graph, opset: int, options: OnnxOptions) -> ModelProto:
    import numpy as np
    from onnx import helper

    from nin_spec import __version__
    from nin_spec.exporters.onnx_rules import INPUT, OUTPUT, Writer

    writer = Writer(opset, np.dtype(options.dtype), dict(model.weights), open_size=graph.open_size)
    for node in graph:
        writer.write(node)
    if not writer.nodes:
        writer.nodes.append(helper.make_node("Identity", [INPUT], [OUTPUT], name="identity"))
    # The last value is called `scores`, whatever its node.
    writer.nodes[-1].output[0] = OUTPUT
    made = helper.make_graph(
        writer.nodes,
        graph.name,
        [_value(INPUT, graph.input, options, open_size=graph.open_size)],
        [_value(OUTPUT, graph.output, options)],
        writer.tensors,
        doc_string=model.card.summary,
    )
    proto = helper.make_model(
        made,
        producer_name="nin-spec",
        producer_version=__version__,
        ir_version=ir_version(opset),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    helper.set_model_props(proto, metadata(model))
    return proto


def _value(name: str, kind: TensorType, options: OnnxOptions, *, open_size: bool = False) -> ValueInfoProto:
    from onnx import TensorProto, helper

    batch = "batch" if options.batch == "dynamic" else options.batch
    shape: list[int | str] = [batch, *kind.shape]
    if open_size:
        shape[2:] = ["height", "width"]
    element = TensorProto.DOUBLE if options.dtype == "float64" else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, element, shape)


def metadata(model: Model) -> dict[str, str]:
    """What the file says of itself. No timestamp: the same model gives the same bytes."""
    card, graph = model.card, model.graph
    facts: dict[str, Any] = {
        "name": card.name,
        "summary": card.summary,
        "spec": card.spec,
        "hash": card.hash,
        "classes": str(card.classes),
        "labels": json.dumps(card.labels, ensure_ascii=False),
        "preprocessing": json.dumps(card.preprocessing.as_dict()),
        "output": output_kind(graph),
        "weights": card.weights,
        "parameters": str(sum(p.size for p in graph.parameters().values() if p.trainable)),
        "macs": str(sum(n.op.macs(n.input) for n in graph)),
        "macs_convention": MACS_CONVENTION,
    }
    if card.dataset:
        facts["dataset"] = card.dataset
    return {f"nin_spec.{key}": value for key, value in facts.items()}


def output_kind(graph: Graph) -> str:
    """What the scores are."""
    last = graph.nodes[-1].op if graph.nodes else None
    if isinstance(last, ops.Softmax):
        return "probabilities"
    return "log_probabilities" if isinstance(last, ops.LogSoftmax) else "scores"
