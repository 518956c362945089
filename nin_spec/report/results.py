"""The page's facts about a run: its data, curves, accuracy, confused classes and confidence.

The last two are from the evaluation that `nin-spec evaluate RUNDIR` stored in the run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from nin_spec.report.about import Figure
from nin_spec.training.evaluated import SPLITS, confused_pairs, stored
from nin_spec.training.folder import read_rows

if TYPE_CHECKING:
    from nin_spec.training.evaluated import Evaluated
    from nin_spec.training.folder import Run
    from nin_spec.training.sets import Role


@dataclass(frozen=True)
class Result:
    """The page's facts about a run."""

    status: str
    accuracy: Figure | None
    headline: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    warnings: list[str]
    rows: list[dict[str, float]]
    chosen: int | None
    evaluated: Evaluated | None
    unused: str
    command: str
    split: Role

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """The pairs most often confused: true class, predicted class, pictures."""
        if self.evaluated is None:
            return []
        names = self.evaluated.classes
        return [(names[i], names[j], n) for i, j, n in confused_pairs(self.evaluated.confusion)]


def result_of(run: Run) -> Result:
    """The run's facts. Raises TrainingError if one of its files is damaged."""
    record = run.record
    epoch = run.result.get("epoch")
    evaluated, unused = evaluation_of_run(run)
    return Result(
        record.status,
        _accuracy(run, evaluated),
        _headline(run),
        _facts(run),
        sorted(record.versions.items()),
        record.warnings,
        read_rows(run.path / "metrics.csv"),
        None if epoch is None else int(epoch),
        evaluated,
        unused,
        f"nin-spec evaluate {run.path}",
        next((role for role in SPLITS if evaluated and evaluated.split == role), record.data.scored_on),
    )


def _accuracy(run: Run, evaluated: Evaluated | None) -> Figure | None:
    """The tile at the top: of the evaluation, else of the epoch whose weights are the result."""
    if evaluated is not None:
        return Figure("accuracy", f"{evaluated.accuracy:.2%}", f"{evaluated.split}, {evaluated.images:,} pictures")
    data = run.record.data
    value = run.result.get(f"{data.scored_on}_accuracy")
    if value is None:
        return None
    return Figure("accuracy", f"{value:.2%}", f"{data.scored_on}, {data.scored_images:,} pictures")


def _headline(run: Run) -> list[tuple[str, str]]:
    """The numbers of the epoch whose weights are the result."""
    row, split = run.result, run.record.data.scored_on
    named = {
        f"{split}_accuracy": f"{split} accuracy",
        f"{split}_loss": f"{split} loss",
        "train_accuracy": "train accuracy",
    }
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
    found += [("ended early", record.ended)] if record.ended else []
    return [*found, ("started from", record.started_from)] if record.started_from else found


def evaluation_of_run(run: Run) -> tuple[Evaluated | None, str]:
    """The stored evaluation of the first split that has one, and why others do not count. Raises TrainingError."""
    reasons = []
    for split in SPLITS if run.has_weights else ():
        found, why = stored(run, split)
        if found is not None:
            return found, ""
        reasons += [why] if why else []
    return None, "; ".join(reasons)
