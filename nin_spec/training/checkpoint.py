"""Checkpoints: everything needed to resume a run, in one safetensors file each.

The newest two are kept. Each has the SHA-256 of its tensors, so that a damaged file is detected, and the one before it
is used. Nothing is pickled; there is no random state to store.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, TrainingError, WeightsError
from nin_spec.weights.storage import read, save

Array = NDArray[np.floating[Any]]
KEPT = 2
_FORMAT = "1"
_NAME = re.compile(r"step-\d{9}\.safetensors")


@dataclass
class State:
    """Progress of a training: `step` steps done; the epoch's sums so far; a row for each epoch done.

    `loss` and `correct` are summed over the epoch's `seen` pictures. `best` is the best epoch so far, and its score.
    `losses` are those of the latest steps, each a mean over its batch. `ended` is the reason if the training ended
    before its last epoch. `seconds` of training are counted for a recipe with a time limit.
    """

    step: int = 0
    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    rows: list[dict[str, float | int]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    warnings: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    ended: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A state with its tensors: `weights/NAME`, `optimizer/NAME/QUANTITY`, and `average/NAME` with an average."""

    state: State
    tensors: Mapping[str, Array] = field(repr=False)

    def of(self, kind: str) -> dict[str, Array]:
        """The tensors of a kind, `weights`, `optimizer` or `average`, without the prefix."""
        return {k.removeprefix(f"{kind}/"): v for k, v in self.tensors.items() if k.startswith(f"{kind}/")}


def beginning_of(weights: Mapping[str, Array]) -> Checkpoint:
    """The checkpoint before the first step: no optimiser has any state yet."""
    return Checkpoint(State(), {f"weights/{name}": array for name, array in weights.items()})


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint atomically, then remove all but the newest two. Raises ExportError."""
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{checkpoint.state.step:09d}.safetensors"
    tensors = dict(checkpoint.tensors)
    text = json.dumps(asdict(checkpoint.state))
    save(path, tensors, {"format": _FORMAT, "state": text, "sha256": _digest(tensors, text)})
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def has_checkpoints(folder: Path) -> bool:
    """Whether there are checkpoints, complete or not."""
    return bool(_newest_first(folder))


def last_step(folder: Path) -> int:
    """The step of the newest checkpoint, complete or not; 0 if there is none."""
    return int(_newest_first(folder)[0].stem.partition("-")[2]) if has_checkpoints(folder) else 0


def newest_checkpoint(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest valid checkpoint, and a remark for each newer damaged one.

    Raises TrainingError (RUN_UNUSABLE) if there is none.
    """
    remarks: list[str] = []
    for path in _newest_first(folder):
        try:
            found = read_checkpoint(path)
        except TrainingError as error:
            remarks.append(f"{error.diagnostics[0].message}; using the one before it")
            continue
        return found, remarks
    why = "; ".join(remarks) or "it has no checkpoint"
    raise _unusable(folder, why, "start again with another --output")


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. Raises TrainingError (RUN_UNUSABLE)."""
    try:
        found = read(path)
        text = found.metadata["state"]
        if found.metadata["format"] != _FORMAT:
            raise _unusable(path, "another version of nin-spec wrote it")
        if _digest(found.tensors, text) != found.metadata["sha256"]:
            raise _unusable(path, "its checksum is wrong")
        return Checkpoint(state_from(json.loads(text)), found.tensors)
    except (WeightsError, KeyError, TypeError, ValueError) as error:
        why = error.diagnostics[0].message if isinstance(error, WeightsError) else "it is not a checkpoint"
        raise _unusable(path, why) from None


def state_from(data: dict[str, Any]) -> State:
    """A state from its JSON fields."""
    best = data.pop("best")
    return State(**data, best=None if best is None else (int(best[0]), float(best[1])))


def _newest_first(folder: Path) -> list[Path]:
    """The checkpoints, newest first. Raises TrainingError if the folder can't be read."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(folder, f"it can't be read: {error.strerror}") from None
    return [folder / name for name in sorted(names, reverse=True) if _NAME.fullmatch(name)]


def _digest(tensors: Mapping[str, Array], state: str) -> str:
    seal = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        seal.update(f"{name} {tensors[name].shape} {tensors[name].dtype.str}".encode())
        seal.update(np.ascontiguousarray(tensors[name]).data)
    return seal.hexdigest()


def _unusable(path: Path, why: str, hint: str | None = None) -> TrainingError:
    return TrainingError(Code.RUN_UNUSABLE, f"{path} can't be resumed: {why}", hint=hint)
