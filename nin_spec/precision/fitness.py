"""Which device has kernels for which precision, checked before a file is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nin_spec.diagnostics import Code, ExportError
from nin_spec.precision.settings import Precision


@dataclass(frozen=True, slots=True)
class Fitness:
    """What happens to a precision on a device: `why`, and the alternative if it is not supported."""

    why: str
    instead: str = ""


_NO_BFLOAT16 = Fitness(
    "its kernels follow the types of the file, and ONNX has no convolution of bfloat16 before opset 22",
    "pass --device openvino, which computes a float32 file in bfloat16; or --precision float16",
)

DEVICES: dict[tuple[Precision, str], Fitness] = {
    # Seen in the optimised graph of an exported file on x86: every convolution is one of float32, with a Cast
    # at the input and one at the end (onnxruntime's InsertCastTransformer).
    ("float16", "cpu"): Fitness(
        "on x86 it has no float16 convolution, and onnxruntime casts the file back to float32: not faster, but half "
        "the size; the file is meant for cuda and tensorrt"
    ),
    ("bfloat16", "cpu"): _NO_BFLOAT16,
    ("bfloat16", "webgpu"): _NO_BFLOAT16,
    ("bfloat16", "cuda"): _NO_BFLOAT16,
    # microsoft/onnxruntime issues 12229, 12230 and 24807: "CUDA kernel not found ... QLinearConv".
    ("int8", "cuda"): Fitness(
        "it has no int8 convolution: each layer would be converted to float32, computed, and quantised, slower than "
        "the float32 file",
        "pass --precision float16 for cuda, or --device cpu",
    ),
    # NVIDIA's documentation of explicit quantisation: INT8 is signed, and its zero point is 0.
    ("int8", "tensorrt"): Fitness(
        "it only supports signed int8 with a zero point of 0, but this file's values are unsigned, for CPUs",
        "pass --precision float16",
    ),
}
"""By precision and device. A pair without a row is supported, as far as is known."""

DEFAULT_DEVICE: dict[Precision, Any] = {"float32": "cpu", "float16": "cpu", "bfloat16": "openvino", "int8": "cpu"}
"""The default device for measurement and proof."""


def remark_on(precision: Precision, device: str) -> str | None:
    """A remark before such a file is written. Raises ExportError if it could not run."""
    found = DEVICES.get((precision, device))
    if found is None:
        return None
    if found.instead:
        message = f"{precision} can't run on {device}: {found.why}"
        raise ExportError(Code.EXPORT_OPTION, message, hint=found.instead)
    return f"{precision} on {device}: {found.why}"
