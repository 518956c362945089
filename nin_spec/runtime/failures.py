"""Error messages of onnxruntime in plain words: what is wrong with the file, and the fix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from nin_spec.diagnostics import Code, InputError
from nin_spec.runtime.installation import import_onnxruntime


@dataclass(frozen=True, slots=True)
class Cause:
    """A pattern of onnxruntime's message, and our message; `{0}` and `{1}` are the pattern's groups."""

    pattern: str
    message: str
    hint: str


# Tried in order. Messages of onnxruntime 1.24 to 1.31; an unknown one is shown without its C++ noise.
CAUSES = (
    Cause(
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        "it has ONNX IR version {0}, but this onnxruntime supports versions up to {1}",
        "export it again with a lower opset, which lowers the IR version, or update onnxruntime",
    ),
    Cause(
        r"Opset (\d+) is under development.*support for domain (\S+) is till opset (\d+)",
        "it uses opset {0} of {1}, but this onnxruntime supports opsets up to {2}",
        "export it again with a lower opset, or update onnxruntime",
    ),
    Cause(
        r"protobuf parsing failed",
        "it is not an ONNX file, or is truncated",
        "export a spec first (nin-spec export SPEC --onnx); copy or export a damaged file again",
    ),
    Cause(r"No graph was found|does not have a graph", "it has no ONNX graph", "copy or export it again"),
    Cause(
        r"external data",
        "its weights are in another file, which is missing, damaged, or in a folder that is not allowed",
        "put that file beside it and pass the path, or export it again with embedded weights",
    ),
    Cause(
        r"No Op registered for (\S+)|Fatal error: (\S+?)\(-?\d+\) is not a registered function/op",
        "it uses the operator {0}, which this onnxruntime doesn't have",
        "export it again with standard ONNX operators",
    ),
    Cause(
        r"Could not find an implementation for (\w+)\(\d+\) node with name '([^']*)'",
        "no kernel here computes its node {1!r} ({0}) in its dtype",
        "export it again in float32",
    ),
    Cause(
        r"Node input '([^']*)' is not a graph input",
        "its graph is broken: {0!r} is used but not defined",
        "export it again",
    ),
)

_NOISE = (
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : ",
    r"^Load model from .*? failed:",
    r"^/\S+\.(?:cc|h):\d+ .*\) (?=\S)",  # the C++ function that raised it
)


def explain_failure(text: str) -> tuple[str, str] | None:
    """Message and hint for a known problem of the file, else None."""
    for cause in CAUSES:
        if found := re.search(cause.pattern, text, re.DOTALL | re.IGNORECASE):
            groups = [g for g in found.groups() if g is not None]
            return cause.message.format(*groups), cause.hint
    return None


def without_noise(text: str) -> str:
    """The message without onnxruntime's code, paths and C++ signature, on one line."""
    for pattern in _NOISE:
        text = re.sub(pattern, "", text)
    return " ".join(text.split())


def unreadable(name: str, message: str, hint: str | None = None) -> InputError:
    """The error for an unusable model file."""
    return InputError(Code.MODEL_UNREADABLE, f"{name} can't be used: {message}", hint=hint)


@cache
def error_types() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: its own exceptions share no base class."""
    state = import_onnxruntime("capi.onnxruntime_pybind11_state")

    own = tuple(v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception))
    return (*own, RuntimeError, ValueError, MemoryError)
