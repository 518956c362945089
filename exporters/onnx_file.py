"""Models as ONNX: written node by node from the graph, without torch or tracing.

Opset 17 and IR version 8 by default, which onnxruntime loads from 1.12 on. The file is self-contained
and describes itself in its metadata; two exports of a model give the same bytes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from nin_spec.analysis.shapes import output_kind
from nin_spec.analysis.tables import MACS_CONVENTION
from nin_spec.diagnostics import Code, ExportError, did_you_mean
from nin_spec.exporter import Artifact, Proof
from nin_spec.exporters.onnx_opset import DEFAULT_OPSET, OPSETS, choose_opset, file_ir, readers, where_wrong
from nin_spec.exporters.targets import Target, find_target, known_targets
from nin_spec.model import Model
from nin_spec.option_values import by_comma
from nin_spec.passes.changes import PassChanges, Saved, cost
from nin_spec.passes.class_maps import ClassMaps, NoClassMapsError, class_maps
from nin_spec.passes.pipeline import PASSES, in_dtype, rewrite
from nin_spec.passes.temperature import temperature_of
from nin_spec.provider_gaps import lowered_devices, newest_opset
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from onnx import ModelProto

    from nin_spec.exporters.onnx_writer import Writer

MAX_BYTES = (1 << 31) - (1 << 20)
"""Protocol buffers are limited to 2 GiB; the rest of the file is small."""


_OUTPUTS = ("scores", "probabilities", "maps")

Words = Annotated[tuple[str, ...], BeforeValidator(by_comma)]


class OnnxOptions(BaseModel):
    """Options of an ONNX file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    opset: int | None = Field(None, ge=OPSETS[0], le=OPSETS[1], description="ONNX opset, 13 to 26; default: 17.")
    target: str | None = Field(
        None,
        description="Target server, for example onnxruntime==1.15 or triton==24.10; an error if it can't run the "
        "model.",
        examples=known_targets(),
    )
    batch: Literal["dynamic"] | int = Field("dynamic", description="Batch size: `dynamic` for any, or a fixed number.")
    dtype: Literal["float32", "float64"] = Field(
        "float32",
        description="dtype of the file; onnxruntime has no float64 convolution on the CPU.",
    )
    takes: Literal["normalised", "pixels"] = Field(
        "normalised",
        description="Input of the file: preprocessed tensors, or raw pixels in the spec's layout.",
    )
    outputs: Words = Field(
        ("scores",),
        description="Outputs of the file, comma-separated: scores, probabilities, top5 (or another number: "
        "top_probabilities and top_classes, best first), and maps, the class maps whose mean is the score.",
        examples=["scores", "probabilities", "top5", "maps"],
    )
    lower_for: Words = Field(
        (),
        description="Devices for which missing operators are written in others, exactly, comma-separated: "
        f"{', '.join(lowered_devices())}; default: those of --device.",
        examples=list(lowered_devices()),
    )
    without: Words = Field(
        (), description=f"Passes to skip, comma-separated: {', '.join(PASSES)}.", examples=list(PASSES)
    )

    @field_validator("target")
    @classmethod
    def _known_target(cls, text: str | None) -> str | None:
        if text is not None:
            find_target(text)
        return text

    @field_validator("outputs")
    @classmethod
    def _known_outputs(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        tops = [word for word in words if re.fullmatch(r"top[1-9]\d{0,5}", word)]
        for word in words:
            if word not in (*_OUTPUTS, *tops):
                raise ValueError(did_you_mean(word, [*_OUTPUTS, "top5"]))
        if len(set(words)) != len(words) or len(tops) > 1:
            raise ValueError("each output is allowed once, and one number of best classes")
        if "maps" in words and "scores" not in words:
            raise ValueError("the maps need the scores, their averages, too: pass scores,maps")
        if not set(words) - set(tops):
            raise ValueError("the best classes need scores or probabilities, too: pass probabilities,top5")
        return words

    @field_validator("lower_for")
    @classmethod
    def _known_devices(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if word not in lowered_devices():
                raise ValueError(did_you_mean(word, list(lowered_devices())))
        return tuple(dict.fromkeys(words))

    @field_validator("without")
    @classmethod
    def _known_passes(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if word not in PASSES:
                raise ValueError(did_you_mean(word, list(PASSES)))
        return words

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes to run."""
        return tuple(name for name in PASSES if name not in self.without)


class OnnxExporter:
    """Write one self-contained ONNX file."""

    name: ClassVar[str] = "onnx"
    Options: ClassVar[type[BaseModel]] = OnnxOptions
    proof: ClassVar[Proof] = Proof.PARITY

    def export(self, model: Model, options: OnnxOptions) -> Artifact:
        """Make `<name>.onnx`. Raises ExportError for what the opset, the target or the format does not support."""
        _check(model, options)
        target = find_target(options.target) if options.target else None
        _fits(model, options)
        start, pixels = in_dtype(model, options.dtype), options.takes == "pixels"
        made = rewrite(start, options.passes, pixels=pixels, maps="maps" in options.outputs)
        opset = choose_opset(made.model.graph, options.opset, target)
        _check_opset(opset, options)
        proto, lowered = _build(model, made.model, opset, target, options)
        data: bytes = proto.SerializeToString(deterministic=True)
        name = f"{model.graph.name}.onnx"
        remarks = [*_remarks(model, opset, target, options), *where_wrong(made.model.graph, opset, target)]
        remarks += _cost_of_maps(start, made.model, options)
        return Artifact(
            {name: data}, tuple(remarks), (*made.changes, *lowered), kinds={".onnx": Kind.ONNX}, models=(name,)
        )


def _check_opset(opset: int, options: OnnxOptions) -> None:
    """The devices of the file must have kernels for its opset. Raises ExportError."""
    newest = newest_opset(options.lower_for)
    if newest is not None and opset > newest:
        message = f"{', '.join(options.lower_for)} has no kernels for the pools of opset {opset}"
        raise ExportError(Code.EXPORT_OPTION, message, hint=f"use opset {newest} or lower")


def _remarks(model: Model, opset: int, target: Target | None, options: OnnxOptions) -> list[str]:
    """Remarks on the file."""
    remarks = []
    if model.graph.input.dtype != options.dtype:
        remarks.append(f"the spec computes in {model.graph.input.dtype}, the file in {options.dtype}")
    if options.dtype == "float64":
        remarks.append("float64: onnxruntime's CPU provider has no convolution in it")
    if (temperature := temperature_of(model.graph)) is not None:
        remarks.append(f"calibrated: the scores are divided by the temperature {temperature:g}")
    if target:
        remarks.append(f"opset {opset} and IR version {file_ir(opset, target)}, for {target}")
        remarks += [target.remark] if target.remark else []
    elif options.opset is None and opset != DEFAULT_OPSET:
        remarks.append(f"opset {opset}: an open size with a ceil-mode average needs it")
    return remarks


def _cost_of_maps(model: Model, made: Model, options: OnnxOptions) -> list[str]:
    """What averaging last costs, beside a file without the class maps."""
    if "maps" not in options.outputs:
        return []
    ours, without = cost(made.graph).macs, cost(rewrite(model, options.passes).model.graph).macs
    if ours == without:
        return ["maps: the average over them is last anyway: no more MACs"]
    return [f"maps: averaged last, which takes {ours - without:,} MACs more per image ({ours / without - 1:.2%})"]


def _check(model: Model, options: OnnxOptions) -> None:
    """Checks of the options that need the model."""
    from nin_spec.exporters.onnx_outputs import top_of

    if options.batch != "dynamic" and not 1 <= options.batch <= 1 << 20:
        raise ExportError(
            Code.EXPORT_OPTION, f"batch can't be {options.batch}", hint=f"pass dynamic, or a number from 1 to {1 << 20}"
        )
    if "maps" in options.outputs:
        _maps_of(model)
    top, classes = top_of(options.outputs) or 0, model.graph.output.shape[0]
    if top > classes:
        message = f"top{top} is more than the network's {classes} classes"
        raise ExportError(Code.EXPORT_OPTION, message, hint=f"pass top{classes} or fewer")


def _maps_of(model: Model) -> ClassMaps:
    """The class maps of a model. Raises ExportError, at the line of the layer by which it has none."""
    try:
        return class_maps(model.graph)
    except NoClassMapsError as error:
        hint = "leave maps out of the outputs; or average the last maps: head: {pool: global_avg}"
        raise ExportError(Code.EXPORT_UNSUPPORTED, f"no class maps: {error}", error.span, hint) from None


def _fits(model: Model, options: OnnxOptions) -> None:
    """The weights must fit into the format, and into the dtype of the file."""
    import numpy as np

    size = sum(w.size for w in model.weights.values()) * np.dtype(options.dtype).itemsize
    if size > MAX_BYTES:
        hint = "pass --dtype float32, which needs half" if options.dtype == "float64" else "use fewer channels or units"
        raise ExportError(
            Code.EXPORT_OPTION, f"the weights are {size:,} bytes, but an ONNX file is limited to 2 GiB", hint=hint
        )
    largest = np.finfo(options.dtype).max
    for name, array in model.weights.items():
        if array.size and not np.all(np.abs(array) <= largest):
            raise ExportError(
                Code.EXPORT_OPTION,
                f"{name} has values out of the range of {options.dtype}",
                hint="pass --dtype float64",
            )


def _build(
    model: Model, made: Model, opset: int, target: Target | None, options: OnnxOptions
) -> tuple[ModelProto, tuple[PassChanges, ...]]:
    """The file of a model, and what changed for its devices.

    Its metadata is that of the spec, its graph the rewritten one.
    """
    import numpy as np
    from onnx import helper

    from nin_spec import __version__
    from nin_spec.exporters.onnx_lowering import lowerings
    from nin_spec.exporters.onnx_outputs import write_maps, write_outputs
    from nin_spec.exporters.onnx_rules import write
    from nin_spec.exporters.onnx_writer import INPUT, Writer

    graph = made.graph
    for_whom = readers(opset, target)
    writer = Writer(
        opset,
        np.dtype(options.dtype),
        dict(made.weights),
        for_whom,
        open_size=graph.open_size,
        lowerings=lowerings(options.lower_for),
    )
    batch = "batch" if options.batch == "dynamic" else options.batch
    element, shape = _write_input(writer, made, options)
    inputs = [helper.make_tensor_value_info(INPUT, element, [batch, *shape])]
    maps = class_maps(graph) if "maps" in options.outputs else None
    for k, node in enumerate(graph):
        if maps is not None and k == maps.average:
            write_maps(writer)
        write(writer, node)
    outputs = [
        helper.make_tensor_value_info(name, kind, [batch, *shape])
        for name, kind, shape in write_outputs(writer, graph, options.outputs, maps)
    ]
    body = helper.make_graph(writer.nodes, graph.name, inputs, outputs, writer.tensors, doc_string=model.card.summary)
    proto = helper.make_model(
        body,
        producer_name="nin-spec",
        producer_version=__version__,
        ir_version=file_ir(opset, target),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    helper.set_model_props(proto, metadata(model, options))
    changed = PassChanges(f"for {', '.join(options.lower_for)}", tuple(writer.lowered), Saved())
    return proto, (changed,) if options.lower_for else ()


def _write_input(writer: Writer, made: Model, options: OnnxOptions) -> tuple[int, list[int | str]]:
    """The input's element type and its shape without the batch; pixels are cast to floats, channels first."""
    import numpy as np
    from onnx import helper

    graph, contract = made.graph, made.card.preprocessing
    channels, *size = graph.input.shape
    place: list[int | str] = ["height", "width"] if graph.open_size else [*size]
    own = helper.np_dtype_to_tensor_dtype(writer.dtype)
    if options.takes != "pixels":
        return own, [channels, *place]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(contract.dtype))
    if contract.layout == "HWC":
        writer.append("Transpose", "input/channels_first", perm=[0, 3, 1, 2])
    if element != own:
        writer.append("Cast", "input/numbers", to=own)
    return element, [*place, channels] if contract.layout == "HWC" else [channels, *place]


def metadata(model: Model, options: OnnxOptions) -> dict[str, str]:
    """The file's metadata. No timestamp: the same model gives the same bytes.

    Counts are the spec's, before passes. `output` is the kind of `scores`, or probabilities if the file has no scores.
    """
    card, graph = model.card, model.graph
    facts: dict[str, Any] = {
        "name": card.name,
        "summary": card.summary,
        "spec": card.spec,
        "hash": card.hash,
        "classes": str(card.classes),
        "labels": json.dumps(card.labels, ensure_ascii=False),
        "preprocessing": json.dumps(card.preprocessing.as_dict()),
        "input": options.takes,
        "output": output_kind(graph) if "scores" in options.outputs else "probabilities",
        "passes": json.dumps(options.passes),
        "weights": card.weights,
        "parameters": str(sum(p.size for p in graph.parameters().values() if p.trainable)),
        "macs": str(sum(n.op.macs(n.input) for n in graph)),
        "macs_convention": MACS_CONVENTION,
    }
    if card.dataset:
        facts["dataset"] = card.dataset
    if "maps" in options.outputs:
        facts["maps"] = json.dumps(_maps_of(model).place.as_dict())
    if options.lower_for:
        facts["lowered_for"] = json.dumps(options.lower_for)
    if (temperature := temperature_of(graph)) is not None:
        facts["temperature"] = repr(temperature)
    if options.target:
        facts["target"] = find_target(options.target).name
    return {f"nin_spec.{key}": value for key, value in facts.items()}
