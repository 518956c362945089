"""What a row reports: figures for programs, tables and checks for people. Kept in a file as it comes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Found:
    """The report of a row so far; `keep` writes it, so that what was found outlives the process.

    `skipped` is the reason where the row could not begin.
    """

    path: Path
    figures: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    skipped: str = ""

    def check(self, what: str, why: str = "") -> None:
        """Something that must be so; `why` is what is wrong, "" where it holds."""
        self.checks.append({"what": what, "holds": not why, "why": why})

    def table(self, title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table, in place of an earlier one with its title."""
        self.tables[title] = {"head": list(head), "rows": [[str(cell) for cell in row] for row in rows]}

    def keep(self) -> None:
        """Write it."""
        data = {
            "figures": self.figures,
            "tables": self.tables,
            "checks": self.checks,
            "remarks": self.remarks,
            "skipped": self.skipped,
        }
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(finite(data), ensure_ascii=False, allow_nan=False), encoding="utf-8")
        part.replace(self.path)


def finite(data: Any) -> Any:
    """The same plain data, with NaN and infinities as text, which JSON has no numbers for."""
    match data:
        case float():
            return data if math.isfinite(data) else str(data)
        case dict():
            return {key: finite(value) for key, value in data.items()}
        case list() | tuple():
            return [finite(value) for value in data]
        case _:
            return data
