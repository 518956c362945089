"""The contents of a weights file: one or more state dicts, and other entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, WeightsError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class StateDict:
    """Tensors by name in the file's order.

    `label` is their key, empty for the file itself. `unusable` has the reasons why tensors can't be weights; only their
    shape is stored. `counters` are single integers, such as `n_averaged`. `others` are keys without a tensor.
    """

    label: str
    tensors: Mapping[str, Array] = field(repr=False)
    unusable: Mapping[str, str] = field(default_factory=dict, repr=False)
    counters: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A weights file that was read; `ordered` says whether the order of its tensors is meaningful.

    `sha256` is that of the file, if it was asked for.
    """

    name: str
    states: tuple[StateDict, ...]
    ordered: bool
    metadata: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def tensors(self) -> Mapping[str, Array]:
        """The tensors of the first state dict, the only one in a safetensors file."""
        return self.states[0].tensors


def placeholder(shape: tuple[int, ...]) -> Array:
    """A placeholder for an unusable tensor: its shape, without memory."""
    found: Array = np.broadcast_to(np.zeros((), np.float32), shape)
    return found


def refusal(path: Path | str, why: str, hint: str | None = None) -> WeightsError:
    """The error of a file that is not usable as weights."""
    return WeightsError(Code.WEIGHTS_UNREADABLE, f"{path} can't be used: {why}", hint=hint)
