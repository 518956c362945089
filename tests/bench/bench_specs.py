"""A network that runs in microseconds, and what benches of it share."""

from __future__ import annotations

from pathlib import Path

import nin_spec
from nin_spec.bench.results import Settings
from nin_spec.model import Model

SMALL = """\
spec: 1
name: small
input: {channels: 1, size: 8}
classes: 4
defaults: {init: kaiming_normal}
blocks:
  - {channels: [8, 4], kernel: 3, padding: 1, pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}}
  - {channels: [classes], kernel: 3, padding: 1}
"""

QUICK = Settings(batches=(1, 3), threads=1, seconds=0.02, turns=3, patience=300, peaks=False)


def small_model(folder: Path, seed: int = 0) -> Model:
    """The network with fresh weights."""
    path = folder / "small.yaml"
    path.write_text(SMALL)
    return nin_spec.compile(path).initialise(seed)


def small_file(folder: Path, name: str = "small.onnx", seed: int = 0) -> Path:
    """The same as an ONNX file."""
    path = folder / name
    nin_spec.export(small_model(folder, seed), "onnx", path, parity=False)
    return path
