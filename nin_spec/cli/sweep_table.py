"""How a sweep is printed: its plan, its candidates, and their front."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nin_spec.cli.progress import clock
from nin_spec.diagnostics import counted
from nin_spec.printing import columns

if TYPE_CHECKING:
    from nin_spec.diagrams.front import Dot, Quantity
    from nin_spec.sweeps.objectives import Objective
    from nin_spec.sweeps.plan import Plan
    from nin_spec.sweeps.results import SweepResult
    from nin_spec.sweeps.rows import SweepTrial


def plan_lines(plan: Plan) -> Iterator[str]:
    """What was found without training, and the cost."""
    look = plan.probe
    size = "no end of" if plan.size == float("inf") else f"{plan.size:,.0f}"
    yield f"space: {size} combinations; {counted(look.drawn, 'random candidate')} compiled"
    yield f"  {look.fitting} fit the limits, {look.outside} do not, {look.invalid} are not networks"
    yield f"  {counted(look.functions, 'distinct function')}, {look.distinct} distinct with their recipes"
    images = counted(plan.images, "picture")
    yield f"cost: {counted(plan.trainings, 'training')} of {images}, {plan.mac_epochs:.3g} MAC-epochs"
    at_once = "" if plan.workers == 1 else f", {plan.workers} at a time"
    yield f"  about {clock(plan.seconds)} here{at_once}, by a short training"


def table_lines(result: SweepResult, by: str | None = None, most: int | None = None) -> list[str]:
    """A row for each trained candidate, the best first."""
    if not result.trained:
        return ["no candidate is trained yet"]
    found = result.table(by)
    rows = found.rows[:most]
    hidden = len(found.rows) - len(rows)
    lines = columns([found.headers, *rows], right=found.right)
    return [*lines, *([f"... and {hidden} more: --table"] if hidden else [])]


def trial_line(result: SweepResult, trial: SweepTrial) -> str:
    """What came of one candidate, and the best so far."""
    from nin_spec.sweeps.objectives import HEADINGS, shown

    found = ", ".join(f"{HEADINGS.get(name, name)} {shown(name, v)}" for name, v in trial.values.items())
    line = f"trial {trial.number}: {found or trial.why}"
    if not result.trained:
        return line
    best, first = result.best(), result.sweep.objectives[0]
    return f"{line}; best {shown(first.name, best.values[first.name])} (trial {best.number})"


def front_of(result: SweepResult) -> tuple[list[Dot], Quantity, Quantity, str]:
    """The arguments of the chart: the first objective above the second, or above the MACs."""
    from nin_spec.diagrams.front import Dot

    first, *others = result.sweep.objectives
    front = {trial.number for trial in result.front}
    name = others[0].name if others else "macs"
    dots = [
        Dot(t.number, float({**t.facts, **t.values}[name]), t.values[first.name], t.number in front)
        for t in result.trained
    ]
    title = f"{result.record.name}: {counted(len(dots), 'candidate')}"
    return dots, _quantity(name, others[0] if others else None), _quantity(first.name, first), title


def _quantity(name: str, objective: Objective | None) -> Quantity:
    from nin_spec.diagrams.front import Quantity
    from nin_spec.sweeps.objectives import HEADINGS

    low = objective is None or objective.goal == "min"
    return Quantity(HEADINGS.get(name, name.replace("_", " ")), name == "validation_accuracy", low)
