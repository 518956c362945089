"""What a sweep has found: a row for each trial, the front, and the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, SweepError, did_you_mean
from nin_spec.notebook import Table, cut, view
from nin_spec.printing import columns
from nin_spec.sweeps.folder import Record, open_sweep
from nin_spec.sweeps.load import Sweep
from nin_spec.sweeps.objectives import HEADINGS, Objective, shown
from nin_spec.sweeps.rows import SweepTrial
from nin_spec.sweeps.store import is_lost, opened

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


_REASONS = {
    "pruned": "stopped early",
    "diverged": "diverged",
    "duplicate": "the same as another",
    "limit": "over a limit",
    "invalid": "not a network",
    "running": "being trained",
    "waiting": "to be resumed",
}


@dataclass(frozen=True, repr=False)
class SweepResult:
    """The trials of a sweep folder, as they are now. `study` is Optuna's."""

    folder: Path
    record: Record
    sweep: Sweep
    trials: tuple[SweepTrial, ...]
    study: Study

    @property
    def trained(self) -> list[SweepTrial]:
        """Those that were trained to the end."""
        return [trial for trial in self.trials if trial.outcome == "trained"]

    @property
    def counts(self) -> Counter[str]:
        """How many trials there are of each outcome."""
        return Counter(trial.outcome for trial in self.trials)

    @property
    def counted(self) -> str:
        """How many candidates were trained, and why the others were not."""
        counts = self.counts
        others = [f"{counts[outcome]} {reason}" for outcome, reason in _REASONS.items() if counts[outcome]]
        return ", ".join([f"{counts['trained']} trained", *others])

    def table(self, by: str | None = None) -> Table:
        """A row for each trained candidate, the best by an objective first; `*` marks the front. Raises SweepError."""
        objective = self.objective(by)
        ranked = sorted(self.trained, key=lambda t: (_rank(t, objective), t.number))
        front = {trial.number for trial in self.front}
        names = [o.name for o in self.sweep.objectives]
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

    def __repr__(self) -> str:
        found = self.table()
        lines = columns([found.headers, *found.rows], found.right)
        return cut([f"sweep {self.record.name}: {self.counted}", *lines], "rows")

    def _repr_html_(self) -> str:
        return view(f"sweep {self.record.name}", self.table(), about=self.counted)

    @property
    def front(self) -> list[SweepTrial]:
        """Those that no other is better than in one objective and as good in the others, by the first objective."""
        objectives = self.sweep.objectives
        found = [a for a in self.trained if not any(_dominates(b, a, objectives) for b in self.trained)]
        unique = {tuple(trial.values.values()): trial for trial in reversed(found)}
        return sorted(unique.values(), key=lambda t: _rank(t, objectives[0]))

    def best(self, by: str | None = None) -> SweepTrial:
        """The best by one objective, of those equal the one that is better in the others. Raises SweepError."""
        objective = self.objective(by)
        if not self.trained:
            hint = f"resume it: nin-spec sweep {self.folder}"
            raise SweepError(Code.SWEEP_UNUSABLE, f"no candidate of {self.folder} is trained yet", hint=hint)
        others = [o for o in self.sweep.objectives if o is not objective]
        return min(self.trained, key=lambda t: (_rank(t, objective), [_rank(t, o) for o in others], t.number))

    def objective(self, by: str | None) -> Objective:
        """An objective by name, by default the first. Raises SweepError."""
        names = {objective.name: objective for objective in self.sweep.objectives}
        if by is not None and by not in names:
            raise SweepError(Code.SWEEP, f"{by!r} is not an objective of this sweep", hint=did_you_mean(by, [*names]))
        return next(iter(names.values())) if by is None else names[by]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "folder": str(self.folder),
            "objectives": {objective.name: objective.goal for objective in self.sweep.objectives},
            "counts": dict(self.counts),
            "front": [trial.number for trial in self.front],
            "trials": [trial.as_dict() for trial in self.trials],
        }


def results(folder: str | Path) -> SweepResult:
    """What a sweep folder holds now. Raises SweepError, SpecError if its base is gone."""
    path = Path(folder)
    record, sweep = open_sweep(path)
    return of_study(path, record, sweep, opened(path, record))


def of_study(folder: Path, record: Record, sweep: Sweep, study: Study) -> SweepResult:
    """The same, of a study that is open."""
    trials = study.get_trials(deepcopy=False)
    rows = tuple(_row(trial, folder, sweep.objectives) for trial in trials if not is_lost(trial))
    return SweepResult(folder, record, sweep, rows, study)


def _row(trial: FrozenTrial, folder: Path, objectives: Iterable[Objective]) -> SweepTrial:
    attrs, finished = trial.user_attrs, trial.state.is_finished()
    outcome = str(attrs.get("outcome", "invalid")) if finished else trial.state.name.lower()
    values = trial.values if outcome == "trained" else None
    names = [objective.name for objective in objectives]
    return SweepTrial(
        number=trial.number,
        outcome=outcome,
        changes=str(attrs.get("changes", "")),
        params=dict(trial.params),
        values=dict(zip(names, values, strict=True)) if values is not None else {},
        facts=dict(attrs.get("facts", {})),
        metrics=dict(attrs.get("metrics", {})),
        hash=attrs.get("hash"),
        identity=attrs.get("identity"),
        folder=folder / attrs["folder"] if "folder" in attrs else None,
        why=attrs.get("why"),
    )


def _rank(trial: SweepTrial, objective: Objective) -> float:
    """Less is better."""
    value = trial.values[objective.name]
    return -value if objective.goal == "max" else value


def _dominates(a: SweepTrial, b: SweepTrial, objectives: Sequence[Objective]) -> bool:
    pairs = [(_rank(a, objective), _rank(b, objective)) for objective in objectives]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)
