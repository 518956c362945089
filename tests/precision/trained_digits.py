"""A small network that really knows the digits, trained in seconds, and one made fragile on purpose."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch

import nin_spec
from nin_spec.data import open_split
from nin_spec.evaluation.scores import inputs
from nin_spec.exporter import Artifact, make
from nin_spec.model import Model
from nin_spec.torch_module import build_module

SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.37}}
classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
defaults: {init: kaiming_normal}
blocks:
  - name: first
    channels: [16, 16]
    kernel: 3
    padding: 1
    pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}
  - name: second
    kernel: 3
    padding: 1
    convs: [24, 24, {channels: classes, activation: none}]
head: {pool: global_avg}
train: {dataset: digits, epochs: 5, optimizer: {kind: adam}}
"""
LAYERS = ("blocks.0.convs.0", "blocks.0.convs.1", "blocks.1.convs.0", "blocks.1.convs.1")
"""Those that int8 quantises: the last convolution, for which the average is taken first, gives the scores."""


@cache
def trained(*overrides: str) -> Model:
    """About 97% of the digits' test split."""
    model = nin_spec.compile(nin_spec.loads(SPEC, overrides=overrides)).initialise(1)
    split = open_split("digits", "train")
    x = torch.from_numpy(np.concatenate([*inputs(split, model.card.preprocessing, (1, 8, 8), "float32", 256)]))
    y = torch.from_numpy(split.labels.copy())
    torch.manual_seed(0)
    module = build_module(model).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=5e-3)
    for _ in range(5):
        for chosen in torch.randperm(len(y)).split(64):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x[chosen]), y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items() if name in model.weights}
    return replace(model, weights=weights)


def scaled(model: Model, factor: float) -> Model:
    """The same function: half of what the first layer of the second block makes larger, the next reads smaller.

    In 8 bits a value keeps the range of its largest channel, and the other half vanishes.
    """
    weights = {name: array.copy() for name, array in model.weights.items()}
    for name in ("blocks.1.convs.0.weight", "blocks.1.convs.0.bias"):
        weights[name][::2] *= factor
    weights["blocks.1.convs.1.weight"][:, ::2] /= factor
    return replace(model, weights=weights)


def exported(model: Model, **options: object) -> Artifact:
    """The float32 artifact."""
    return make(model, "onnx", options)


def bytes_of(model: Model, **options: object) -> bytes:
    """The float32 file."""
    (data,) = exported(model, **options).files.values()
    return data
