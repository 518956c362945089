"""Files of our own as people have them: any spec, any options, weights that are not fresh."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from spec_strategies import specs, to_text

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import make
from nin_spec.model import Model
from nin_spec.network import Network
from nin_spec.passes.pipeline import PASSES
from nin_spec.precision.float16 import to_float16
from nin_spec.precision.reduction import stamp

OUTPUTS = (
    *(("scores",), ("probabilities",), ("scores", "probabilities"), ("scores", "top1"), ("probabilities", "top1")),
    *(("scores", "maps"), ("scores", "top1", "maps")),
)
TARGETS = ("onnxruntime==1.12", "onnxruntime==1.16.3", "triton==23.05", "triton==24.10", "onnxruntime==1.27")
texts = specs().map(to_text)
"""Any spec: a failing example is told as its text, since a compiled network is too long to be."""
options: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "takes": st.sampled_from(["normalised", "pixels"]),
        "outputs": st.sampled_from(OUTPUTS),
        "opset": st.sampled_from([None, 18, 20, 23]),
        "batch": st.sampled_from(["dynamic", "dynamic", 1, 2]),
        "target": st.sampled_from([None, None, None, *TARGETS]),
        "lower_for": st.sampled_from([(), (), ("webgpu",)]),
        "without": st.sampled_from([(), (), ("fold_batch_norm",), ("fold_input", "pool_first"), tuple(PASSES)]),
    }
)
precisions = st.sampled_from(["float32", "float32", "float16", "bfloat16", "float64"])


def network_of(text: str) -> Network:
    """A spec compiled."""
    return nin_spec.compile(nin_spec.loads(text))


def trained(network: Network, seed: int = 0) -> Model:
    """A model whose numbers look like those of a training: no bias is zero, no variance one."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, array in network.initialise(seed).weights.items():
        moved = array * (1 + 0.3 * rng.standard_normal(array.shape)) + 0.2 * rng.standard_normal(array.shape)
        weights[name] = (np.abs(moved) + 0.1 if name.endswith("running_var") else moved).astype(array.dtype)
    return Model(network.graph, weights, network.card)


def exported(model: Model, given: dict[str, Any], precision: str = "float32") -> bytes | None:
    """The file, None where this network does not support these options."""
    try:
        dtype = "float64" if precision == "float64" else "float32"
        (data,) = make(model, "onnx", {**given, "dtype": dtype}).files.values()
        if precision == "float16":
            return stamp(to_float16(data)[0], "float16", {})
    except ExportError:
        return None
    return stamp(data, "bfloat16", {}) if precision == "bfloat16" else data
