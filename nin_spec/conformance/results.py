"""What a conformance run found: verdicts by case, their table, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nin_spec.conformance.cases import Case
from nin_spec.conformance.verdict import Outcome, Verdict
from nin_spec.diagnostics import Code, InputError
from nin_spec.seals import Kind, kind_of, sealed

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """A case that is not exact, and why."""

    case: Case
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        case = self.case
        about = {"id": case.id, "about": case.about, "spec": case.spec, "export": dict(case.options)}
        return {**about, **self.verdict.as_dict()}


@dataclass(frozen=True, slots=True)
class Row:
    """The cases of an op in a precision: how many came out how, and the largest relative difference.

    `fault` is the smallest case that is wrong, else the smallest that is refused; None if all are exact.
    """

    op: str
    precision: str
    counts: Mapping[Outcome, int]
    worst: float | None
    fault: Fault | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        counts = {outcome.value: self.counts[outcome] for outcome in Outcome}
        smallest = None if self.fault is None else self.fault.as_dict()
        return {"op": self.op, "precision": self.precision, **counts, "worst": self.worst, "smallest": smallest}


@dataclass
class Record:
    """The verdicts of a run, by case, and the `circumstances` in which they hold.

    `others` are verdicts on cases that are not asked for now, as a file has them.
    """

    cases: tuple[Case, ...]
    circumstances: Mapping[str, Any]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> list[Case]:
        """The cases without a verdict, in their order."""
        return [case for case in self.cases if case.id not in self.verdicts]

    @property
    def complete(self) -> bool:
        """Whether every case has its verdict."""
        return not self.left

    def count(self, outcome: Outcome) -> int:
        """How many cases came out so."""
        return sum(self.verdicts[case.id].outcome is outcome for case in self.cases if case.id in self.verdicts)

    def rows(self) -> list[Row]:
        """A row for each op and precision, in the order of the cases; those without verdicts are left out."""
        groups: dict[tuple[str, str], list[Case]] = {}
        for case in self.cases:
            if case.id in self.verdicts:
                groups.setdefault((case.op, case.precision), []).append(case)
        return [self._row(op, precision, cases) for (op, precision), cases in groups.items()]

    def _row(self, op: str, precision: str, cases: list[Case]) -> Row:
        found = {outcome: [c for c in cases if self.verdicts[c.id].outcome is outcome] for outcome in Outcome}
        counts = {outcome: len(members) for outcome, members in found.items()}
        differences = (self.verdicts[case.id].difference for case in cases)
        worst = max((d for d in differences if d is not None), default=None)
        faulty = found[Outcome.WRONG] or found[Outcome.REFUSED]
        shown = min(faulty, key=lambda case: (len(case.spec), case.id), default=None)
        return Row(op, precision, counts, worst, None if shown is None else Fault(shown, self.verdicts[shown.id]))

    def as_dict(self) -> dict[str, Any]:
        """The run as plain data: what `--format json` prints, and what a file keeps."""
        from nin_spec import __version__

        return {
            "generator": f"Written by nin-spec {__version__}",
            "format": FORMAT,
            **self.circumstances,
            "complete": self.complete,
            "totals": {"cases": len(self.cases), **{outcome.value: self.count(outcome) for outcome in Outcome}},
            "rows": [row.as_dict() for row in self.rows()],
            "verdicts": {case.id: self._entry(case) for case in self.cases if case.id in self.verdicts},
        }

    def _entry(self, case: Case) -> dict[str, Any]:
        about = {"op": case.op, "precision": case.precision, "about": case.about}
        return {**about, **self.verdicts[case.id].as_dict()}

    def content(self) -> bytes:
        """The file that keeps it, sealed."""
        data = self.as_dict()
        data["verdicts"] |= self.others
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return sealed(text.encode(), Kind.CONFORMANCE)

    def resume(self, path: Path) -> None:
        """Take over the verdicts of a file that `content` made in the same circumstances; of any other none.

        Raises InputError for such a file that can't be read.
        """
        if not path.is_file() or path.stat().st_size == 0 or kind_of(path) is not Kind.CONFORMANCE:
            return
        ids = {case.id for case in self.cases}
        try:
            data = json.loads(path.read_text("utf-8"))
            if data["format"] != FORMAT or any(data.get(key) != value for key, value in self.circumstances.items()):
                return
            verdicts = {id_: Verdict.from_dict(entry) for id_, entry in data["verdicts"].items()}
            self.others = {id_: entry for id_, entry in data["verdicts"].items() if id_ not in ids}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{path} can't be resumed: {error}"
            raise InputError(Code.MODEL_UNREADABLE, message, hint="remove it, or pass another path") from error
        self.verdicts = {id_: verdict for id_, verdict in verdicts.items() if id_ in ids}
