"""Models as a repository for the Triton Inference Server: its configuration, the ONNX file and the labels.

The repository is what `tritonserver --model-repository` loads, with the onnxruntime backend:

    NAME/config.pbtxt    batching, queue policy, instances, one warm-up per bucket
    NAME/1/model.onnx    made by the onnx exporter
    NAME/labels.txt      one label per line, for the classification extension
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporter import Artifact, Proof, find
from nin_spec.exporters.onnx_file import OnnxOptions
from nin_spec.exporters.targets import Target, find_target, known_targets
from nin_spec.model import Model
from nin_spec.rendering import render
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

DEFAULT_TARGET = "triton==26.07"
TARGET = f"Target server, for example triton==24.10; default for --triton and --kserve: {DEFAULT_TARGET}."

KINDS = {
    "FLOAT": "FP32",
    "DOUBLE": "FP64",
    "FLOAT16": "FP16",
    "BFLOAT16": "BF16",
    "UINT8": "UINT8",
    "INT8": "INT8",
    "INT32": "INT32",
    "INT64": "INT64",
    "BOOL": "BOOL",
    "STRING": "STRING",
}
"""Triton's data type for each of ONNX's."""

TENSORRT_SINCE = "24.04"
"""The behaviour of older backends with profile shapes is unknown."""


class TritonOptions(OnnxOptions):
    """Options of a repository: those of its ONNX file, except for the batch."""

    batch: Literal["dynamic"] = Field("dynamic", description="Always `dynamic`: Triton does the batching.")
    target: str = Field(DEFAULT_TARGET, description=TARGET, examples=known_targets())
    max_batch: int = Field(32, ge=1, le=65536, description="Maximum rows per batch; default: 32.")
    delay: int = Field(0, ge=0, le=10**9, description="Microseconds that a request waits for others; default: 0.")
    preferred: int | str | None = Field(
        None, description="Sizes at which a batch stops waiting, for example 8,16,32; at most --max-batch."
    )
    queue: int = Field(256, ge=1, le=10**6, description="Maximum waiting requests, 503 above; default: 256.")
    timeout: int = Field(
        1000, ge=1, le=10**6, description="Milliseconds that a request may wait, 503 after; default: 1000."
    )
    hardware: Literal["cpu", "gpu"] = Field("cpu", description="Hardware; default: cpu.")
    instances: int = Field(1, ge=1, le=256, description="Instances of the model, per GPU; default: 1.")
    threads: int | None = Field(
        None, ge=1, le=4096, description="Threads of an instance on the CPU; default: all visible cores."
    )
    tensorrt: Literal["off", "float32", "float16"] = Field(
        "off", description="Run through TensorRT, in this precision."
    )

    @field_validator("preferred")
    @classmethod
    def _sizes(cls, value: int | str | None) -> int | str | None:
        if value is not None and not re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", str(value)):
            raise ValueError("not sizes")
        return value


class TritonExporter:
    """Write a model repository for Triton."""

    name: ClassVar[str] = "triton"
    Options: ClassVar[type[BaseModel]] = TritonOptions
    proof: ClassVar[Proof] = Proof.PARITY

    def export(self, model: Model, options: TritonOptions) -> Artifact:
        """Make the repository. Raises ExportError for what the target can't load, or contradictory options."""
        import onnx

        target, name = find_triton(options.target), served_name(model)
        _check(options, target)
        inner = _make_onnx(model, options)
        (data,) = inner.files.values()
        proto, remarks = onnx.load_from_string(data), list(inner.remarks)
        labels = "".join(f"{line_of(label)}\n" for label in model.card.labels).encode()
        shown = {**facts(model, proto, options, target), "labels_sha256": sha256(labels).hexdigest() if labels else ""}
        onnx_file = f"{name}/1/model.onnx"
        files = {f"{name}/config.pbtxt": render("nin_spec.exporters", "config.pbtxt.jinja", shown), onnx_file: data}
        if labels:
            files[f"{name}/labels.txt"] = labels
            if any(line_of(label) != label for label in model.card.labels):
                remarks.append("labels.txt has one label per line: line breaks inside labels became spaces")
        remarks.append(f"made for {target} and later")
        kinds = {**inner.kinds, ".pbtxt": Kind.TRITON}
        return Artifact(files, tuple(remarks), inner.passes, kinds, models=(onnx_file,))


def _make_onnx(model: Model, options: TritonOptions) -> Artifact:
    onnx = find("onnx")
    return onnx.export(model, onnx.Options(**{key: getattr(options, key) for key in onnx.Options.model_fields}))


def find_triton(text: str) -> Target:
    """The release that `triton==YY.MM` names. Raises ExportError for another server, and for an unknown release."""
    target = find_target(text)
    if not target.name.startswith("triton=="):
        raise ExportError(
            Code.EXPORT_OPTION, f"{target.name} is not a release of Triton", hint=f"write for example {DEFAULT_TARGET}"
        )
    return target


def served_name(model: Model) -> str:
    """The name of the model in Triton, and of its folder. Raises ExportError for an invalid folder name."""
    name = model.graph.name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ExportError(
            Code.EXPORT_OPTION,
            f"Triton can't serve a model of the name {name!r}",
            hint="use letters, digits, _ and -",
        )
    return name


def _check(options: TritonOptions, target: Target) -> None:
    """Raise ExportError for options that contradict each other."""
    if options.tensorrt != "off" and options.hardware != "gpu":
        raise ExportError(
            Code.EXPORT_OPTION, "--tensorrt needs --hardware gpu", hint="add --hardware gpu, or remove --tensorrt"
        )
    if options.tensorrt != "off" and target.name < f"triton=={TENSORRT_SINCE}":
        raise ExportError(
            Code.EXPORT_OPTION,
            f"TensorRT options need Triton {TENSORRT_SINCE} or later",
            hint="pass a later --target",
        )
    if options.threads is not None and options.hardware != "cpu":
        raise ExportError(
            Code.EXPORT_OPTION,
            "threads apply to instances on the CPU only",
            hint="remove --threads, or pass --hardware cpu",
        )
    if any(size > options.max_batch for size in preferred_sizes(options)):
        raise ExportError(
            Code.EXPORT_OPTION,
            f"a preferred batch is larger than the maximum, {options.max_batch}",
            hint="raise --max-batch",
        )


def preferred_sizes(options: TritonOptions) -> list[int]:
    """The sizes of `--preferred`, in order, each once."""
    return [] if options.preferred is None else sorted({int(size) for size in str(options.preferred).split(",")})


def buckets(max_batch: int) -> list[int]:
    """The batch sizes to warm up: powers of two, and the largest."""
    return sorted({*(1 << i for i in range(max_batch.bit_length())), max_batch})


def line_of(label: str) -> str:
    """A label as one line of labels.txt."""
    return re.sub(r"[\r\n\0]", " ", label)


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output as Triton describes it: dims without the batch axis, -1 for an open one.

    `example` has a number for each open axis: the size that the spec names.
    """

    name: str
    kind: str
    dims: tuple[int, ...]
    example: tuple[int, ...]
    labelled: bool


def describe(model: Model, value: ValueInfoProto, *, labels: bool) -> Value:
    """A value of the ONNX file. Raises ExportError for one without a batch axis, or of a type Triton lacks."""
    from onnx import TensorProto

    from nin_spec.exporters.onnx_outputs import TOP_PROBABILITIES

    kind = KINDS.get(TensorProto.DataType.Name(value.type.tensor_type.elem_type))
    batch, *axes = value.type.tensor_type.shape.dim or (None,)
    if kind is None or batch is None or not batch.dim_param:
        raise ExportError(
            Code.EXPORT_OPTION,
            f"{value.name!r} is not a batch of a dtype that Triton supports",
            hint="export it with --onnx only",
        )
    open_axes = dict(zip(("height", "width"), model.graph.input.shape[1:], strict=False))
    dims = tuple(-1 if axis.dim_param else axis.dim_value for axis in axes)
    example = tuple(open_axes.get(axis.dim_param, axis.dim_value) for axis in axes)
    # If all classes are requested, their sorted probabilities have as many values as there are classes, in another
    # order.
    scores = kind.startswith(("FP", "BF")) and value.name != TOP_PROBABILITIES
    labelled = labels and scores and dims == (len(model.card.labels),)
    return Value(value.name, kind, dims, example, labelled)


def facts(model: Model, proto: ModelProto, options: TritonOptions, target: Target) -> dict[str, Any]:
    """What the template shows."""
    inputs = [describe(model, value, labels=False) for value in proto.graph.input]
    return {
        "hash": model.card.hash,
        "target": target,
        "name": model.graph.name,
        "inputs": inputs,
        "outputs": [describe(model, value, labels=True) for value in proto.graph.output],
        "preferred": preferred_sizes(options),
        "buckets": buckets(options.max_batch),
        "tensorrt": dict(_tensorrt(inputs, options)),
        "parameters": dict(_parameters(options)),
        **options.model_dump(include={"max_batch", "delay", "queue", "timeout", "hardware", "instances"}),
    }


def _parameters(options: TritonOptions) -> Iterator[tuple[str, str]]:
    """Parameters of the onnxruntime backend."""
    if options.threads is not None:
        yield "intra_op_thread_count", str(options.threads)
    if options.hardware == "gpu":
        # 1 is HEURISTIC. Triton does not pad, and the default measures every algorithm for each new batch size.
        yield "cudnn_conv_algo_search", "1"


def _tensorrt(inputs: list[Value], options: TritonOptions) -> Iterator[tuple[str, str]]:
    """Parameters of the TensorRT accelerator: one engine for all batches, where the sizes are fixed."""
    if options.tensorrt == "off":
        return
    yield "precision_mode", {"float32": "FP32", "float16": "FP16"}[options.tensorrt]
    if any(-1 in value.dims for value in inputs):
        return
    for end, batch in (("min", 1), ("opt", options.max_batch), ("max", options.max_batch)):
        shapes = (f"{value.name}:{'x'.join(map(str, (batch, *value.dims)))}" for value in inputs)
        yield f"trt_profile_{end}_shapes", ",".join(shapes)
