"""The results of a bench, as data. Times are in seconds; in JSON, keys name the unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nin_spec.bench.figures import Spread, Turns, ratios, spread_of

FORMAT = 1
ON_THE_PROCESSOR = frozenset({"cpu", "openvino"})
"""Devices whose speed is reported as a fraction of the CPU's peak."""

NOISE = 0.02
"""A smaller gain is not called one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    `turns` turns of `seconds` each, with or without `peaks`. `patience` is the timeout of a worker in seconds.
    """

    batches: tuple[int, ...]
    threads: int
    seconds: float = 1.0
    turns: int = 5
    patience: float = 600.0
    peaks: bool = True


@dataclass(frozen=True)
class Opened:
    """An opened contender: its facts, its start time, whether torch was loaded, and whether it is a session of ours."""

    label: str
    title: str
    facts: Mapping[str, Any]
    seconds: float
    torch: bool
    is_peak: bool = False
    is_ours: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.label, "title": self.title, "start_seconds": self.seconds, "torch": self.torch} | {
            **self.facts
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A contender that died, timed out, failed on a batch, or computes something else; `stderr` is its output."""

    label: str
    batch: int | None
    reason: str
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One contender at one batch size: the time of a batch, and derived figures.

    `first` is the first run, including compilation. `share` is the fraction of its precision's peak, `ratio` our time
    over its time, both turn by turn; None if there is nothing to compare with.
    """

    label: str
    batch: int
    runs: Spread
    first: float
    gflops: float | None
    share: Spread | None
    ratio: Spread | None

    @property
    def images_per_second(self) -> float:
        """The throughput at the median."""
        return self.batch / self.runs.median

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "contender": self.label,
            "batch": self.batch,
            "latency_ms": self.runs.scaled(1e3).as_dict(),
            "images_per_second": self.images_per_second,
            "first_run_seconds": self.first,
            "gflops": self.gflops,
            "share_of_peak": self.share.as_dict() if self.share else None,
            "ratio": self.ratio.as_dict() if self.ratio else None,
        }


@dataclass(frozen=True)
class Result:
    """Everything that was measured; `complete` is False if it was interrupted."""

    name: str
    hash: str
    shape: tuple[int, ...]
    macs: int | None
    machine: Mapping[str, Any]
    settings: Settings
    contenders: Sequence[Opened]
    peaks: Mapping[str, Spread]
    lines: Sequence[Line]
    failures: Sequence[Failure]
    remarks: Sequence[str]
    complete: bool
    generator: str = field(default="")

    def faster(self) -> Mapping[str, Mapping[int, float]]:
        """Other runtimes that are faster than the first contender: their share of its time, by label and batch."""
        others = [o.label for o in self.contenders if not o.is_ours and not o.is_peak]
        shares = {
            label: {x.batch: 1 / x.ratio.median for x in self.lines if x.label == label and x.ratio} for label in others
        }
        gains = {label: {b: s for b, s in found.items() if s < 1 - NOISE} for label, found in shares.items()}
        return {label: found for label, found in gains.items() if found}

    def line(self, label: str, batch: int) -> Line | None:
        """The line of a contender at a batch size, if measured."""
        return next((found for found in self.lines if (found.label, found.batch) == (label, batch)), None)

    def as_dict(self) -> dict[str, Any]:
        """The result in the form of `bench --format json`. `ratio` is the first contender's time over this one's."""
        from nin_spec import __version__
        from nin_spec.analysis.tables import MACS_CONVENTION

        return {
            "generator": f"Written by nin-spec {__version__}",
            "format": FORMAT,
            "name": self.name,
            "hash": self.hash,
            "input": list(self.shape),
            "macs": self.macs,
            "macs_convention": MACS_CONVENTION,
            "machine": dict(self.machine),
            "settings": asdict(self.settings),
            "contenders": [c.as_dict() for c in self.contenders if not c.is_peak],
            "peaks": [
                c.as_dict() | {"gflops": self.peaks[c.label].as_dict()}
                for c in self.contenders
                if c.is_peak and c.label in self.peaks
            ],
            "results": [line.as_dict() for line in self.lines],
            "failures": [asdict(failure) for failure in self.failures],
            "remarks": list(self.remarks),
            "complete": self.complete,
        }


@dataclass
class Measurements:
    """Records of the contest: the runs of each turn, and the first run, by label and batch.

    `ours` is the label of the contender with which the others are compared.
    """

    ours: str
    opened: list[Opened] = field(default_factory=list)
    turns: dict[tuple[str, int], list[list[float]]] = field(default_factory=dict)
    first: dict[tuple[str, int], float] = field(default_factory=dict)

    def peaks(self) -> dict[str, Spread]:
        """Billions of operations per second of each measured peak, over all its turns."""
        peaks = {}
        for each in (o for o in self.opened if o.is_peak):
            runs = [
                t for (label, _), turns in self.turns.items() if label == each.label for turn in turns for t in turn
            ]
            if runs:
                peaks[each.label] = spread_of(each.facts["operations"] / seconds / 1e9 for seconds in runs)
        return peaks

    def lines(self, batches: Sequence[int], macs: int | None) -> list[Line]:
        """A line for each contender at each batch size with a turn."""
        rows = [(o, b) for b in batches for o in self.opened if not o.is_peak and self.turns.get((o.label, b))]
        return [self._line(opened, batch, macs) for opened, batch in rows]

    def _line(self, opened: Opened, batch: int, macs: int | None) -> Line:
        turns = self.turns[opened.label, batch]
        runs = spread_of(t for turn in turns for t in turn)
        operations = None if macs is None else 2 * macs * batch
        ours = self.turns.get((self.ours, batch)) if opened.label != self.ours else None
        return Line(
            opened.label,
            batch,
            runs,
            self.first[opened.label, batch],
            None if operations is None else operations / runs.median / 1e9,
            self._share(opened, batch, operations, turns),
            ratios(ours, turns) if ours else None,
        )

    def _share(self, opened: Opened, batch: int, operations: int | None, turns: Turns) -> Spread | None:
        """Operations per second over those of the same precision's peak."""
        if operations is None or opened.facts["device"] not in ON_THE_PROCESSOR:
            return None
        precision = opened.facts["precision"]
        peak = next((o for o in self.opened if o.is_peak and o.facts["precision"] == precision), None)
        beside = self.turns.get((peak.label, batch)) if peak else None
        if peak is None or not beside:
            return None
        return ratios(beside, turns).scaled(operations / peak.facts["operations"])
