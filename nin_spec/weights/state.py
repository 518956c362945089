"""What a weights file holds: one state dict or several, and what stands beside their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, Diagnostic, WeightsError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class StateDict:
    """Tensors by name in the file's order; `label` is the key that they stand under, empty for the file itself.

    `unusable` says why a tensor can't be a weight; of such only the shape is there. `counters` are single whole
    numbers, such as `n_averaged`. `others` are keys that hold no tensor.
    """

    label: str
    tensors: Mapping[str, Array] = field(repr=False)
    unusable: Mapping[str, str] = field(default_factory=dict, repr=False)
    counters: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A weights file, read; `ordered` says whether the order of its tensors means anything."""

    name: str
    states: tuple[StateDict, ...]
    ordered: bool
    metadata: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def tensors(self) -> Mapping[str, Array]:
        """Those of the first state dict, the only one of a safetensors file."""
        return self.states[0].tensors


def placeholder(shape: tuple[int, ...]) -> Array:
    """Stands for a tensor that can't be used: its shape, and no memory."""
    found: Array = np.broadcast_to(np.zeros((), np.float32), shape)
    return found


def refusal(path: Path, why: str, hint: str | None = None) -> WeightsError:
    """The error of a file that can't be read as weights."""
    return WeightsError(Diagnostic(Code.WEIGHTS_UNREADABLE, f"{path} can't be used: {why}", hint=hint))
