"""What a sweep can minimise or maximise: quantities of the shape table, of a training, and of the exported file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nin_spec.analysis.tables import ShapeTable
from nin_spec.diagnostics import Code, Diagnostic
from nin_spec.language.document import Table
from nin_spec.printing import memory

if TYPE_CHECKING:
    from nin_spec.sweeps.schema import Objectives, SweepFile, Timing

Goal = Literal["min", "max"]

TRAINED = ("validation_accuracy", "validation_loss")
EXPORTED = ("latency", "throughput", "int8_size")
_GOALS: dict[str, Goal] = {"latency": "min", "throughput": "max"}


@dataclass(frozen=True)
class Objective:
    """One quantity; `timing` is set for those that are measured with a clock."""

    name: str
    goal: Goal
    timing: Timing | None = None

    @property
    def direction(self) -> str:
        """Optuna's word."""
        return "maximize" if self.goal == "max" else "minimize"

    def better(self, a: float, b: float) -> bool:
        """Whether a value is better than another."""
        return a > b if self.goal == "max" else a < b


def of(asked: Objectives, root: Table) -> tuple[Objective, ...]:
    """The objectives in the order in which they are written."""
    from nin_spec.sweeps.schema import Timing

    node = root.get("objectives")
    names = list(node.entries) if isinstance(node, Table) else ["validation_accuracy"]
    found = []
    for name in names:
        value = getattr(asked, name)
        timing = value if isinstance(value, Timing) else None
        if value is not None:
            found.append(Objective(name, timing.goal if timing else value, timing))
    return tuple(found)


def problems(file: SweepFile, root: Table) -> Iterator[Diagnostic]:
    """Objectives that can't choose a network, or that a pruner can't follow."""
    asked = of(file.objectives, root)
    node = root.get("objectives") or root
    for objective in asked:
        natural = _GOALS.get(objective.name, objective.goal)
        if objective.goal != natural:
            entry = node.get(objective.name) if isinstance(node, Table) else None
            message = f"objectives.{objective.name}: {natural} is better"
            span = entry.span if entry is not None else node.span
            yield Diagnostic(Code.INVALID_VALUE, message, span, f"write {objective.name}: {natural}")
    if not any(objective.name in TRAINED for objective in asked):
        message = "objectives: none is measured on the validation split, so that nothing needs to be trained"
        hint = "add validation_accuracy: max, or validation_loss: min"
        yield Diagnostic(Code.SWEEP, message, node.span, hint)
    if file.prune is not None and len(asked) > 1:
        prune = root.get("prune") or root
        message = f"prune: Optuna prunes with one objective, and this sweep has {len(asked)}"
        yield Diagnostic(Code.SWEEP, message, prune.span, "keep one objective and move the others to within")


def of_table(table: ShapeTable) -> dict[str, int]:
    """The quantities that are known before a step is trained."""
    return {
        "parameters": table.parameters,
        "macs": table.macs,
        "peak_memory": table.peak_memory,
        "weight_memory": table.weight_bytes,
    }


def shown(name: str, value: float) -> str:
    """A value as a table has it."""
    match name:
        case "validation_accuracy":
            return f"{value:.2%}"
        case "validation_loss":
            return f"{value:.4f}"
        case "latency":
            return f"{value:.3f} ms"
        case "throughput":
            return f"{value:,.0f} images/s"
        case "peak_memory" | "weight_memory" | "int8_size":
            return memory(int(value))
        case _:
            return f"{value:,.0f}"


HEADINGS = {
    "validation_accuracy": "validation",
    "validation_loss": "validation loss",
    "peak_memory": "peak memory",
    "weight_memory": "weights",
    "macs": "MACs",
    "int8_size": "int8 file",
}
"""Column headings, where they differ from the names."""
