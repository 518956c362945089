"""Evaluations that are stored in their run, one per split: `evaluation.SPLIT.json`, which is what `evaluate` prints.

An evaluation belongs to the weights that were evaluated, and to their temperature. One of other weights is not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, model_validator

from nin_spec.files import write_atomic
from nin_spec.training.folder import unusable

if TYPE_CHECKING:
    from nin_spec.training.folder import Run
    from nin_spec.training.sets import Role

SPLITS: tuple[Role, ...] = ("test", "validation", "train")
"""The splits of which a run can have an evaluation; the report shows the first that it has."""


class Whose(BaseModel):
    """What was evaluated: the network, the SHA-256 of its file of weights, and the temperature of its scores."""

    hash: str
    weights_sha256: str
    temperature: float | None = None


class Bin(BaseModel):
    """A bin of the reliability diagram."""

    low: float
    high: float
    images: NonNegativeInt
    confidence: float | None
    accuracy: float | None


class Point(BaseModel):
    """A point of the risk-coverage curve."""

    coverage: float
    risk: float
    threshold: float


class Confidence(BaseModel):
    """How far the probabilities can be trusted."""

    mean: float
    ece: float
    aurc: float
    bins: list[Bin]
    risk_coverage: list[Point]


class Evaluated(BaseModel):
    """As much of the answer of `evaluate` as others use; counts have a row per true class."""

    model_config = ConfigDict(extra="ignore")

    model: Whose
    dataset: str
    split: str
    where: str = ""
    accuracy: float
    loss: float | None = None
    images: NonNegativeInt
    classes: list[str]
    confusion: list[list[NonNegativeInt]]
    confidence: Confidence | None = None

    @model_validator(mode="after")
    def _square(self) -> Evaluated:
        count = len(self.classes)
        if not count or len(self.confusion) != count or any(len(row) != count for row in self.confusion):
            raise ValueError("confusion is not a square of the classes")
        return self


def confused_pairs(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """The ten pairs of classes most often confused, from counts by true class: true, predicted, pictures."""
    pairs = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j]
    return [(i, j, n) for n, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:10]]


def whose(run: Run) -> dict[str, Any]:
    """What an evaluation of the run's result says about whom it belongs to. Raises TrainingError without weights."""
    return {"weights_sha256": run.digest, "temperature": run.temperature}


def store(run: Run, split: Role, answer: Mapping[str, Any]) -> Path:
    """Store an evaluation of the run's result on all pictures of a split. Raises ExportError."""
    path = _path(run, split)
    write_atomic(path, (json.dumps(answer, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def stored(run: Run, split: Role) -> tuple[Evaluated | None, str]:
    """The stored evaluation of a split, None without one; and the reason why one that is stored does not count.

    Raises TrainingError for a damaged one.
    """
    path = _path(run, split)
    hint = f"remove {path}, or evaluate again: nin-spec evaluate {run.path} --split {split}"
    try:
        found = Evaluated.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise unusable(run.path, f"{path.name}: {error.strerror}", hint) from None
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise unusable(run.path, f"{path.name} is damaged: {where} {first['msg']}", hint) from None
    if found.model.hash != run.network.hash or found.model.weights_sha256 != run.digest:
        return None, f"{path.name} is an evaluation of other weights, and is not used"
    if found.model.temperature != run.temperature:
        return None, f"{path.name} is an evaluation at another temperature, and is not used"
    return found, ""


def _path(run: Run, split: Role) -> Path:
    return run.path / f"evaluation.{split}.json"
