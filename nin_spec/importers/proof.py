"""The proof of an import: what was made must compute what the original computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nin_spec.diagnostics import Code, Diagnostic, ParityError
from nin_spec.importers.chain import Array, refusal
from nin_spec.model import Model

TOLERANCE = 1e-4
"""Largest difference from the original, relative to its largest value; see nin_spec.runtime.parity."""


def outputs(model: Model, x: Array) -> Array:
    """What our own export of a model gives for normalised x, in onnxruntime."""
    from nin_spec.api import make

    (data,) = make(model, "onnx", {"dtype": model.graph.input.dtype}).files.values()
    return run(data, x)


def compare(mine: Array, theirs: Array, name: str) -> float:
    """The largest relative difference. Raises ParityError above the tolerance."""
    theirs = theirs.reshape(mine.shape) if theirs.size == mine.size else theirs
    largest = float(np.abs(theirs).max(initial=0.0))
    apart = float(np.abs(mine - theirs).max(initial=0.0)) if mine.shape == theirs.shape else float("inf")
    difference = apart / largest if largest else apart
    if not difference <= TOLERANCE:
        message = f"the imported network differs from {name}: relative difference {difference:.2e}"
        raise ParityError(Diagnostic(Code.PARITY, message, hint="please report the file"))
    return difference


def run(model: bytes | Path, x: Array) -> Array:
    """A model's output for x, in onnxruntime on the CPU, as float64."""
    from nin_spec.runtime.installation import import_onnxruntime
    from nin_spec.runtime.providers import available_threads

    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = available_threads()
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        node = session.get_inputs()[0]
        kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
        (y,) = session.run(None, {node.name: x.astype(kinds.get(node.type, np.uint8))})
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise refusal("onnxruntime", f"the model doesn't run: {error}") from error
    return np.asarray(y, np.float64)
