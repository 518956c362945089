"""In which numbers a session computes: what was asked, what the file says, what the device has.

Numbers narrower than the file's are an approximation that is asked for, by a person or in the file's
metadata: a device without such arithmetic is refused, as it would compute in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.runtime.metadata import PREFIX
from nin_spec.runtime.options import Arithmetic, Shape

PRECISIONS: tuple[str, ...] = get_args(Arithmetic)
_KNOWN = (*PRECISIONS, "float64", "int8")
# onnxruntime's words, ONNX's numbers (TensorProto.DataType), OpenVINO's words.
_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_ELEMENTS = {1: "float32", 10: "float16", 11: "float64"}
_INTEL = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16", "INT8": "int8", "FP64": "float64"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a file's graph is `held` in, the `declared` precision to compute it in, and its input."""

    held: str
    declared: str
    input_name: str = ""
    input_shape: Shape = ()


def numbers_of_session(inference: Any) -> Numbers:
    """The numbers of an open onnxruntime session."""
    kinds = [_TYPES[n.type] for n in (*inference.get_outputs(), *inference.get_inputs()) if n.type in _TYPES]
    return Numbers(*_held(kinds, inference.get_modelmeta().custom_metadata_map))


def numbers_of_file(source: bytes | str) -> Numbers:
    """The numbers of a file, bytes or a path, before it is opened. Raises ValueError where it is no ONNX file."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        if isinstance(source, bytes):
            proto = onnx.load_from_string(source)
        else:
            proto = onnx.load(source, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise ValueError("protobuf parsing failed") from error
    weights = {t.name for t in proto.graph.initializer}
    inputs = [v for v in proto.graph.input if v.name not in weights]
    elements = [v.type.tensor_type.elem_type for v in (*proto.graph.output, *inputs)]
    properties = {p.key: p.value for p in proto.metadata_props}
    held, declared = _held([_ELEMENTS[e] for e in elements if e in _ELEMENTS], properties)
    shape = tuple(d.dim_value or None for v in inputs[:1] for d in v.type.tensor_type.shape.dim)
    return Numbers(held, declared, inputs[0].name if inputs else "", shape)


def _held(kinds: list[str], properties: Mapping[str, str]) -> tuple[str, str]:
    """`held` and `declared`. ONNX runtimes have no bfloat16 convolution: such a file holds float32."""
    stored = kinds[0] if kinds else "float32"
    declared = properties.get(f"{PREFIX}precision", stored)
    if declared not in _KNOWN:
        message = f"the file's metadata is damaged: {PREFIX}precision is none of {', '.join(_KNOWN)}"
        raise InputError(Code.MODEL_UNREADABLE, message, hint="export the model again")
    return (stored if declared == "bfloat16" else declared), declared


def intel_arithmetic(words: str) -> frozenset[str]:
    """OpenVINO's OPTIMIZATION_CAPABILITIES, as `FP32 INT8 BIN EXPORT_IMPORT`, in our names."""
    return frozenset(_INTEL[word] for word in words.split() if word in _INTEL)


def settle(device: str, numbers: Numbers, asked: str | None, has: frozenset[str] | None) -> tuple[str, tuple[str, ...]]:
    """The precision to compute in, and remarks. Raises DeviceError where the device can't.

    `has` is the arithmetic of the device; None where that is not known, and the file's own is all it can do.
    """
    wanted = asked or numbers.declared
    if numbers.held not in {wanted, "float32"}:
        message = f"the file holds {numbers.held}, and can't be computed in {wanted}"
        raise DeviceError(Code.DEVICE_OPTION, message, hint=f"export it with --precision {wanted}")
    if wanted in (has or {numbers.held}):
        return wanted, ()
    if wanted == numbers.held == "float16":  # wider arithmetic does no harm, and is no gain either
        return wanted, (f"{device} computes a float16 file in float32 where it has no float16 arithmetic",)
    own = f"; it has {', '.join(sorted(has))}" if has else ""
    message = f"{device} can't compute in {wanted} here{own}"
    elsewhere = "run it on openvino, or " if wanted == "bfloat16" and device != "openvino" else ""
    hint = elsewhere + ("ask for another precision" if asked else "export with --precision float32")
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)
