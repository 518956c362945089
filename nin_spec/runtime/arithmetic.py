"""The precision of a session: from the request, the file's metadata and the device.

A lower precision than the file's dtype is an approximation that the user or the file's metadata requests: a device
without it is an error, as it would compute in a different precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.runtime.metadata import PREFIX
from nin_spec.runtime.model_file import read_model
from nin_spec.runtime.options import Arithmetic, Shape

PRECISIONS: tuple[str, ...] = get_args(Arithmetic)
_KNOWN = (*PRECISIONS, "float64", "int8")
# onnxruntime's names, ONNX's TensorProto.DataType, OpenVINO's names.
_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_ELEMENTS = {1: "float32", 10: "float16", 11: "float64"}
_INTEL = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16", "INT8": "int8", "FP64": "float64"}


@dataclass(frozen=True, slots=True)
class Dtypes:
    """The dtype of a file's graph (`held`), the `declared` precision to compute it in, and its input."""

    held: str
    declared: str
    input_name: str = ""
    input_shape: Shape = ()


def dtypes_of_session(inference: Any) -> Dtypes:
    """The dtypes of an open onnxruntime session."""
    kinds = [_TYPES[n.type] for n in (*inference.get_outputs(), *inference.get_inputs()) if n.type in _TYPES]
    return Dtypes(*_held(kinds, inference.get_modelmeta().custom_metadata_map))


def dtypes_of_file(source: bytes | str) -> Dtypes:
    """The dtypes of a file, given as bytes or a path, before it is opened. Raises ValueError if it is not ONNX."""
    from google.protobuf.message import DecodeError

    try:
        proto = read_model(source)
    except DecodeError as error:
        raise ValueError("protobuf parsing failed") from error
    weights = {t.name for t in proto.graph.initializer}
    inputs = [v for v in proto.graph.input if v.name not in weights]
    elements = [v.type.tensor_type.elem_type for v in (*proto.graph.output, *inputs)]
    properties = {p.key: p.value for p in proto.metadata_props}
    held, declared = _held([_ELEMENTS[e] for e in elements if e in _ELEMENTS], properties)
    shape = tuple(d.dim_value or None for v in inputs[:1] for d in v.type.tensor_type.shape.dim)
    return Dtypes(held, declared, inputs[0].name if inputs else "", shape)


def _held(kinds: list[str], properties: Mapping[str, str]) -> tuple[str, str]:
    """`held` and `declared`. ONNX runtimes have no bfloat16 convolution: such a file contains float32."""
    stored = kinds[0] if kinds else "float32"
    declared = properties.get(f"{PREFIX}precision", stored)
    if declared not in _KNOWN:
        message = f"the file's metadata is damaged: {PREFIX}precision is not one of {', '.join(_KNOWN)}"
        raise InputError(Code.MODEL_UNREADABLE, message, hint="export the model again")
    return (stored if declared == "bfloat16" else declared), declared


def intel_arithmetic(words: str) -> frozenset[str]:
    """OpenVINO's OPTIMIZATION_CAPABILITIES, for example `FP32 INT8 BIN EXPORT_IMPORT`, in our names."""
    return frozenset(_INTEL[word] for word in words.split() if word in _INTEL)


def settle(  # noqa: PLR0913 keywords
    device: str,
    dtypes: Dtypes,
    asked: str | None,
    has: frozenset[str] | None,
    *,
    converts: bool = False,
    widens: bool = True,
) -> tuple[str, tuple[str, ...]]:
    """The precision to compute in, and remarks. Raises DeviceError if the device can't.

    `has` are the precisions of the device; None if it only supports the file's own. `converts` says that it computes a
    float32 file in another of them, `widens` that it computes a float16 file in float32 if it has no float16.
    """
    wanted = asked or dtypes.declared
    if dtypes.held not in {wanted, "float32"}:
        message = f"the file is {dtypes.held}, and can't be computed in {wanted}"
        raise DeviceError(Code.DEVICE_OPTION, message, hint=f"export it with --precision {wanted}")
    if wanted in (has or {dtypes.held}) and (converts or wanted == dtypes.held):
        return wanted, ()
    if wanted == dtypes.held == "float16" and widens:  # a wider precision is harmless, and no faster
        return wanted, (f"{device} computes a float16 file in float32 if it has no float16 arithmetic",)
    if has and wanted in has:
        message = f"the file is {dtypes.held}, and {device} computes it in that, not in {wanted}"
        raise DeviceError(Code.DEVICE_OPTION, message, hint=f"export it with --precision {wanted}")
    own = f"; it has {', '.join(sorted(has))}" if has else ""
    message = f"{device} can't compute in {wanted} here{own}"
    places = {"bfloat16": "openvino", "int8": "cpu"}
    place = places.get(wanted, device)
    elsewhere = f"pass --device {place}, or " if place != device else ""
    hint = elsewhere + ("pass another precision" if asked else "export with --precision float32")
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)
