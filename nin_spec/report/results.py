"""The page's facts about a run: its data, curves, result and confused classes.

The confusion is read from `evaluation.json` in the run folder, written by the user with
`nin-spec evaluate RUNDIR --format json > RUNDIR/evaluation.json`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, model_validator

from nin_spec.training.folder import read_rows, unusable

if TYPE_CHECKING:
    from nin_spec.training.folder import Run

EVALUATION = "evaluation.json"


class Whose(BaseModel):
    """The network that was evaluated."""

    hash: str


class Evaluated(BaseModel):
    """As much of evaluate's answer as the page shows; counts have a row per true class."""

    model_config = ConfigDict(extra="ignore")

    model: Whose
    dataset: str
    split: str
    accuracy: float
    images: NonNegativeInt
    classes: list[str]
    confusion: list[list[NonNegativeInt]]

    @model_validator(mode="after")
    def _square(self) -> Evaluated:
        count = len(self.classes)
        if not count or len(self.confusion) != count or any(len(row) != count for row in self.confusion):
            raise ValueError("confusion is not a square of the classes")
        return self


@dataclass(frozen=True)
class Result:
    """The page's facts about a run."""

    status: str
    headline: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    warnings: list[str]
    rows: list[dict[str, float]]
    chosen: int | None
    evaluated: Evaluated | None
    command: str

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """The pairs most often confused: true class, predicted class, pictures."""
        if self.evaluated is None:
            return []
        names = self.evaluated.classes
        counts = enumerate(self.evaluated.confusion)
        pairs = [(n, i, j) for i, row in counts for j, n in enumerate(row) if n and i != j]
        return [(names[i], names[j], n) for n, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:10]]


def result_of(run: Run) -> Result:
    """The run's facts. Raises TrainingError if one of its files is damaged."""
    record = run.record
    epoch = run.result.get("epoch")
    return Result(
        record.status,
        _headline(run),
        _facts(run),
        sorted(record.versions.items()),
        record.warnings,
        read_rows(run.path / "metrics.csv"),
        None if epoch is None else int(epoch),
        evaluation_of_run(run),
        f"nin-spec evaluate {run.path} --format json > {run.path / EVALUATION}",
    )


def _headline(run: Run) -> list[tuple[str, str]]:
    """The numbers of the epoch whose weights are the result."""
    row, part = run.result, run.record.data.scored_on
    named = {f"{part}_accuracy": f"{part} accuracy", f"{part}_loss": f"{part} loss", "train_accuracy": "train accuracy"}
    found = [(name, _figure(key, row[key])) for key, name in named.items() if key in row]
    return [*found, ("epoch", f"{int(row['epoch'])}")] if "epoch" in row else found


def _figure(key: str, value: float) -> str:
    return f"{value:.2%}" if key.endswith("accuracy") else f"{value:.4f}"


def _facts(run: Run) -> list[tuple[str, str]]:
    record = run.record
    data, settings = record.data, asdict(record.settings)
    found = [
        ("status", record.status),
        ("result", f"{record.result}, the weights of {record.chosen}"),
        ("data set", data.dataset),
        ("train", f"{data.train_images:,} pictures, {data.train_fingerprint[:16]}"),
        (data.scored_on, f"{data.scored_images:,} pictures, {(data.scored_fingerprint or '')[:16]}"),
        ("seed", str(record.seed)),
        *((key.replace("_", " "), str(value)) for key, value in settings.items() if value not in (None, False)),
    ]
    return [*found, ("started from", record.started_from)] if record.started_from else found


def evaluation_of_run(run: Run) -> Evaluated | None:
    """The saved output of `evaluate` for the run, if any. Raises TrainingError if it is invalid."""
    path = run.path / EVALUATION
    hint = f"remove {path}, or write it again: nin-spec evaluate {run.path} --format json > {path}"
    try:
        found = Evaluated.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(run.path, f"{EVALUATION}: {error.strerror}", hint) from None
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise unusable(run.path, f"{EVALUATION} is damaged: {where} {first['msg']}", hint) from None
    if found.model.hash != run.network.hash:
        raise unusable(run.path, f"{EVALUATION} belongs to a different network", hint)
    return found
