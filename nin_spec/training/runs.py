"""Every run folder below a folder, as rows that can be sorted and filtered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import NinSpecError
from nin_spec.named import RECORD, is_run
from nin_spec.training.evaluated import SPLITS, stored
from nin_spec.training.folder import Run, open_run, read_rows

if TYPE_CHECKING:
    from nin_spec.training.sets import Role


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `epoch` is that of its result, and `seconds` the time of all its epochs.

    Accuracies are of the result's weights: those of a stored evaluation, else those that the training wrote down; None
    for a split that was not measured.
    """

    path: Path
    name: str
    hash: str
    status: str
    train: float | None
    validation: float | None
    test: float | None
    parameters: int
    macs: int
    epoch: int | None
    epochs: int
    seconds: float
    curves: list[dict[str, float]] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the curves."""
        return {key: value for key, value in asdict(self).items() if key != "curves"} | {"path": str(self.path)}


_HIDDEN = {".git", ".venv", "node_modules", "checkpoints", "tensorboard"}


def find_runs(folder: Path) -> Iterator[Path]:
    """The run folders at or below a folder, by path. Links are not followed."""
    for root, below, files in os.walk(folder):
        below[:] = sorted(set(below) - _HIDDEN)
        if RECORD in files and is_run(root):
            yield Path(root)


def row_of(run: Run) -> RunRow:
    """The row of a run. Raises TrainingError for a damaged file in its folder."""
    path = run.path
    table, curves, epoch = run.network.table, read_rows(path / "metrics.csv"), run.result.get("epoch")
    return RunRow(
        path,
        run.network.card.name,
        run.network.hash,
        run.record.status,
        _accuracy(run, "train"),
        _accuracy(run, "validation"),
        _accuracy(run, "test"),
        table.parameters,
        table.macs,
        None if epoch is None else int(epoch),
        len(curves),
        sum(row["seconds"] for row in read_rows(path / "timings.csv")),
        curves,
    )


def rows_below(folder: Path) -> tuple[list[RunRow], list[NinSpecError]]:
    """The rows of every run at or below a folder, and the errors of those that can't be used."""
    rows, errors = [], []
    for path in find_runs(folder):
        try:
            rows.append(row_of(open_run(path)))
        except NinSpecError as error:
            errors.append(error)
    return rows, errors


def sort_rows(rows: list[RunRow], key: str, *, reverse: bool = False) -> list[RunRow]:
    """The rows in the order of a column: accuracies from the best, all else from the least; unknown values last."""
    down = key in SPLITS
    known = [row for row in rows if getattr(row, key) is not None]
    unknown = [row for row in rows if getattr(row, key) is None]
    return [*sorted(known, key=lambda row: getattr(row, key), reverse=down != reverse), *unknown]


def _accuracy(run: Run, split: Role) -> float | None:
    """The accuracy of the result on a split."""
    found = stored(run, split)[0] if run.has_weights else None
    value = run.result.get(f"{split}_accuracy") if found is None else found.accuracy
    return None if value is None else float(value)
