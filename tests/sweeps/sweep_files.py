"""What the tests of sweeps share: a small sweep file, and its parts."""

from __future__ import annotations

from pathlib import Path

from nin_spec.diagnostics import Diagnostic, SpecError
from nin_spec.sweeps.load import load

SMALL = """\
sweep: 1
base: nin_digits
set: {train.validation: 0.5, train.epochs: 1, train.batch_size: 10}
space:
  train.optimizer.lr: [0.1, 0.2]
  $width: {from: 8, to: 32, step: 8}
  blocks.mlpconv1.channels: [[$width, $width]]
objectives: {validation_accuracy: max, macs: min}
within: {macs: 1.1e6}
trials: 3
"""
"""Eight combinations, of which six are within the limit."""


def written(folder: Path, text: str = SMALL, name: str = "small.sweep.yaml") -> Path:
    """A sweep file in a folder."""
    path = folder / name
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[Diagnostic]:
    """What is wrong with a sweep file."""
    try:
        load(written(folder, text))
    except SpecError as error:
        return list(error.diagnostics)
    return []
