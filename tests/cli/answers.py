"""What commands answer, and files that are changed before they are asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


def alter(path: Path) -> None:
    """Other weights in an ONNX file."""
    proto, random = onnx.load(str(path)), np.random.default_rng(0)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(array + random.normal(size=array.shape).astype("f4"), tensor.name))
    onnx.save(proto, str(path))


def forget(path: Path, *properties: str) -> None:
    """An ONNX file without some of its metadata."""
    proto = onnx.load(str(path))
    facts = {p.key: p.value for p in proto.metadata_props}
    helper.set_model_props(proto, {k: v for k, v in facts.items() if k.removeprefix("nin_spec.") not in properties})
    onnx.save(proto, str(path))


def answer(outcome: Any) -> dict[str, Any]:
    """The JSON that a command printed."""
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    return found
