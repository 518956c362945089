"""Checkpoints: everything that a killed run needs to go on, in one safetensors file each.

The newest two are kept. Each carries the SHA-256 of its tensors, so that a damaged file is known as one,
and the one before it serves. Nothing is pickled; no random state is kept, for there is none.
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

from nin_spec.diagnostics import Code, Diagnostic, TrainingError, WeightsError
from nin_spec.weights.storage import read, save

Array = NDArray[np.floating[Any]]
KEPT = 2
_FORMAT = "1"
_NAME = re.compile(r"step-\d{9}\.safetensors")


@dataclass
class State:
    """How far training is: `step` steps done; the epoch's sums so far; a row for each epoch done.

    `loss` and `correct` are summed over the epoch's `seen` pictures. `best` is the epoch chosen so far,
    and the number it was chosen by. `losses` are those of the latest steps, each a mean over its batch.
    """

    step: int = 0
    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    rows: list[dict[str, float | int]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    warnings: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A state with the tensors that belong to it: `weights/NAME`, `optimizer/NAME/QUANTITY`."""

    state: State
    tensors: Mapping[str, Array] = field(repr=False)

    def of(self, kind: str) -> dict[str, Array]:
        """The tensors of a kind, `weights` or `optimizer`, without the prefix."""
        return {k.removeprefix(f"{kind}/"): v for k, v in self.tensors.items() if k.startswith(f"{kind}/")}


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, whole or not at all, then remove all but the newest. Raises ExportError."""
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{checkpoint.state.step:09d}.safetensors"
    tensors = dict(checkpoint.tensors)
    text = json.dumps(asdict(checkpoint.state))
    save(path, tensors, {"format": _FORMAT, "state": text, "sha256": _digest(tensors, text)})
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def has_checkpoints(folder: Path) -> bool:
    """Whether there is any, whole or not."""
    return bool(_newest_first(folder))


def last_step(folder: Path) -> int:
    """The step of the newest checkpoint, whole or not; 0 where there is none."""
    return int(_newest_first(folder)[0].stem.partition("-")[2]) if has_checkpoints(folder) else 0


def newest_checkpoint(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest whole checkpoint, and a remark for each newer one that is damaged.

    Raises TrainingError (RUN_UNUSABLE) when there is none.
    """
    remarks: list[str] = []
    for path in _newest_first(folder):
        try:
            found = read_checkpoint(path)
        except TrainingError as error:
            remarks.append(f"{error.diagnostics[0].message}; the one before it serves")
            continue
        return found, remarks
    why = "; ".join(remarks) or "it holds no checkpoint"
    raise _unusable(folder, why, "start again, with another --output")


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint, proved whole. Raises TrainingError (RUN_UNUSABLE)."""
    try:
        found = read(path)
        text = found.metadata["state"]
        if found.metadata["format"] != _FORMAT:
            raise _unusable(path, "another version of nin-spec wrote it")
        if _digest(found.tensors, text) != found.metadata["sha256"]:
            raise _unusable(path, "its checksum is wrong")
        return Checkpoint(state_from(json.loads(text)), found.tensors)
    except (WeightsError, KeyError, TypeError, ValueError) as error:
        why = error.diagnostics[0].message if isinstance(error, WeightsError) else "it is no checkpoint"
        raise _unusable(path, why) from None


def state_from(data: dict[str, Any]) -> State:
    """A state from its fields as JSON has them."""
    best = data.pop("best")
    return State(**data, best=None if best is None else (int(best[0]), float(best[1])))


def _newest_first(folder: Path) -> list[Path]:
    """The checkpoints by falling step. Raises TrainingError when the folder can't be read: it is not empty then."""
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
    return TrainingError(Diagnostic(Code.RUN_UNUSABLE, f"{path} can't be continued: {why}", hint=hint))
