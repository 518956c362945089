"""The trained candidates of a sweep as a table, for the terminal and for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.notebook import Table
from nin_spec.sweeps.objectives import HEADINGS, shown

if TYPE_CHECKING:
    from nin_spec.sweeps.results import SweepResult


def candidate_table(result: SweepResult, by: str | None = None) -> Table:
    """A row for each trained candidate, the best by an objective first; `*` marks the front. Raises SweepError."""
    objective = result.objective(by)
    sign = -1 if objective.goal == "max" else 1
    ranked = sorted(result.trained, key=lambda t: (sign * t.values[objective.name], t.number))
    front = {trial.number for trial in result.front}
    names = [o.name for o in result.sweep.objectives]
    also = [name for name in ("macs", "parameters") if name not in names]
    headers = ("trial", "", *(HEADINGS.get(name, name) for name in (*names, *also)), "")
    rows = [
        (
            str(trial.number),
            "*" if trial.number in front else "",
            *(shown(name, trial.values[name]) for name in names),
            *(shown(name, trial.facts[name]) for name in also),
            trial.changes,
        )
        for trial in ranked
    ]
    return Table(headers, rows, {0, *range(2, 2 + len(names) + len(also))})
