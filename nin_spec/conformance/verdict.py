"""The verdict on a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of a case."""

    EXACT = "exact"
    REFUSED = "refused"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a case, its largest relative difference if it is finite, and the reason if it is not exact."""

    outcome: Outcome
    difference: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"outcome": self.outcome.value, "difference": self.difference, "reason": self.reason}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """The verdict of `as_dict`. Raises ValueError, KeyError or TypeError for other data."""
        difference = data["difference"]
        return cls(Outcome(data["outcome"]), None if difference is None else float(difference), str(data["reason"]))
