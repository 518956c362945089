"""What is known of one trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_spec.sweeps.axes import Param


@dataclass(frozen=True)
class SweepTrial:
    """One candidate. `values` are those of the objectives by name, empty unless it was trained to the end.

    `outcome` is trained, pruned, diverged, duplicate, limit or invalid; running or waiting while it is not decided.
    """

    number: int
    outcome: str
    changes: str
    params: Mapping[str, Param]
    values: Mapping[str, float]
    facts: Mapping[str, int]
    metrics: Mapping[str, float]
    hash: str | None
    identity: str | None
    folder: Path | None
    why: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "number": self.number,
            "outcome": self.outcome,
            "params": dict(self.params),
            "values": dict(self.values),
            "facts": dict(self.facts),
            "metrics": dict(self.metrics),
            "hash": self.hash,
            "folder": None if self.folder is None else str(self.folder),
            "why": self.why,
        }
