"""Data sets in memory, and networks small enough to evaluate on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import nin_spec
from nin_spec.data.faults import damaged
from nin_spec.data.split import Indices, SplitName
from nin_spec.diagnostics import Diagnostic, NinSpecError
from nin_spec.model import Model
from nin_spec.pictures import Frame, Pixels

SPEC = """\
spec: 1
name: small
input: {channels: 3, size: [6, 8], preprocess: {mean: [0.4, 0.5, 0.6], std: 0.25}}
classes: 7
defaults: {init: kaiming_normal}
blocks:
  - {channels: [8, 8], kernel: 3, padding: 1, pool: {kind: max, kernel: 2, stride: 2}}
  - {convs: [8, {channels: classes, activation: none}], kernel: 3, padding: 1}
train: {dataset: noise, epochs: 1, optimizer: {kind: adam}}
"""


@dataclass(frozen=True, eq=False)
class NoisePart:
    """Pictures in memory (n, H, W, C); number `broken`, if any, can't be read."""

    images: Pixels
    labels: Indices
    classes: tuple[str, ...]
    broken: int | None = None
    dataset: str = "noise"
    name: SplitName = "test"
    where: str = "memory"

    def pictures(self, indices: Indices, frame: Frame) -> Pixels:
        if self.broken in indices:
            raise damaged(self.where, f"picture {self.broken} is gone")
        found = self.images[indices]
        assert found.shape[1:] == (frame.height, frame.width, frame.channels)
        return found

    def __len__(self) -> int:
        return len(self.labels)


def noise(count: int = 40, classes: int = 7, shape: tuple[int, int, int] = (6, 8, 3), **more: Any) -> NoisePart:
    """Noise (H, W, C) around a colour of each picture's own, of random classes."""
    random = np.random.default_rng(count)
    colours = random.integers(0, 256, (count, 1, 1, shape[2]))
    images = (colours + random.integers(-64, 64, (count, *shape))).clip(0, 255).astype(np.uint8)
    return NoisePart(images, random.integers(0, classes, count), tuple(f"c{k}" for k in range(classes)), **more)


def small_model(*overrides: str, seed: int = 3) -> Model:
    """A model of SPEC."""
    return nin_spec.compile(nin_spec.loads(SPEC, overrides=overrides)).initialise(seed)


def foreign(shape: Sequence[int | str], kind: str = "Relu", **properties: str) -> bytes:
    """The bytes of a graph of one node, as another tool would write it."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("input", "scores")]
    values[0] = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node(kind, ["input"], ["scores"])], "other", values[:1], values[1:])
    model: onnx.ModelProto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, {f"nin_spec.{key}": value for key, value in properties.items()})
    data: bytes = model.SerializeToString()
    return data


def refusal(error: type[NinSpecError], call: Callable[[], object]) -> Diagnostic:
    """The one diagnostic of the error that `call` raises."""
    with pytest.raises(error) as caught:
        call()
    (found,) = caught.value.diagnostics
    return found
