"""The difference of two runs: network, recipe, settings, data, versions and result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from nin_spec.difference import Difference, Value, compare, differing
from nin_spec.training.folder import Run
from nin_spec.training.runs import RunRow, row_of

SECTIONS = ("recipe", "settings", "data", "versions")
"""What two runs can differ in beside the network, in the order of reading."""


@dataclass(frozen=True)
class RunDifference:
    """Two runs side by side. `rows` are their results, as `nin-spec runs` lists them."""

    before: Run
    after: Run
    network: Difference
    rows: tuple[RunRow, RunRow]

    @property
    def same_weights(self) -> bool:
        """Whether both have trained weights, and their files are the same to the byte."""
        return self.before.has_weights and self.after.has_weights and self.before.digest == self.after.digest

    def sections(self) -> dict[str, list[Value]]:
        """By section, each value that differs: its dotted path, before and after; None where absent."""
        a, b = self.before, self.after
        found: dict[str, Iterator[Value]] = {
            "recipe": (value for value in self.network.values() if in_recipe(value[0])),
            "settings": differing(_settings(a), _settings(b)),
            "data": differing(a.record.data.model_dump(), b.record.data.model_dump()),
            "versions": differing(a.record.versions, b.record.versions),
        }
        return {name: list(found[name]) for name in SECTIONS}

    def as_dict(self) -> dict[str, Any]:
        """Plain data: that of the networks, then the sections, then the results."""
        sections = {
            name: [{"path": path, "before": a, "after": b} for path, a, b in values]
            for name, values in self.sections().items()
        }
        results = {key: row.as_dict() for key, row in zip(("before", "after"), self.rows, strict=True)}
        return self.network.as_dict() | sections | {"same_weights": self.same_weights, "result": results}


def in_recipe(path: str) -> bool:
    """Whether a path of a spec is in its recipe."""
    return path == "train" or path.startswith("train.")


def _settings(run: Run) -> dict[str, Any]:
    """How the recipe was run, and from which weights; the seed is in the recipe."""
    return {**asdict(run.record.settings), "started_from": run.record.started_from}


def compare_runs(before: Run, after: Run) -> RunDifference:
    """The difference of two runs. Raises TrainingError for a damaged file in one of them."""
    return RunDifference(before, after, compare(before.network, after.network), (row_of(before), row_of(after)))
