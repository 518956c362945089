"""Limits of an import, checked before the work: a file of a few kilobytes may need gigabytes, or hours."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from nin_spec.importers.chain import Chain, Step, refusal
from nin_spec.ir import ops

MAX_MADE = 1 << 24
"""Limits of elements computed from constants in total, and by one node of a region."""
MAX_SECONDS = 12.0
"""Limit of the CPU time to read a graph: computing constants and recognising regions."""


@dataclass
class Budget:
    """The remaining memory and time of an import."""

    made: int = 0
    began: float = field(default_factory=time.thread_time)

    def spend(self, numbers: int, origin: str, *, kept: bool) -> None:
        """Count elements that `origin` will create, `kept` or not. Raises ForeignModelError above the limit."""
        if numbers > MAX_MADE:
            why = "it creates a tensor larger than an import needs"
            raise refusal(origin, f"{why}: {numbers:,} elements; the limit is {MAX_MADE:,}")
        self.made += numbers if kept else 0
        if self.made > MAX_MADE:
            raise refusal(
                origin, f"the constants computed so far hold {self.made:,} elements; the limit is {MAX_MADE:,}"
            )
        self.check_time(origin)

    def check_time(self, origin: str) -> None:
        """Raises ForeignModelError after the time limit."""
        if time.thread_time() - self.began > MAX_SECONDS:
            raise refusal(origin, f"reading the graph took {MAX_SECONDS:g} s by here, which is the limit")


@dataclass(frozen=True)
class Limits:
    """What a proof can afford of a batch: numbers of one layer's maps and of all, and what is done with them.

    `seen` are the cells that windows of pools and norms see, `windows` those windows of pools; None for no limit.
    """

    largest: int
    macs: int
    total: int | None = None
    seen: int | None = None
    windows: int | None = None


COMPILED = Limits(largest=1 << 26, macs=1 << 37, seen=1 << 33)
"""Of onnxruntime and PyTorch. The proof holds some four times as many bytes as the largest maps have numbers."""


@dataclass
class Cost:
    """What the proof of a chain computes of a batch, counted step by step."""

    batch: int
    largest: int = 0
    total: int = 0
    macs: int = 0
    seen: int = 0
    windows: int = 0

    def add(self, step: Step) -> None:
        """Count one step."""
        self.largest = max(self.largest, self.batch * step.output.size, self.batch * step.input.size)
        self.total += self.batch * step.output.size
        self.macs += self.batch * step.op.macs(step.input)
        self.seen += self.batch * step.output.size * math.prod(getattr(step.op, "kernel_size", (1,)))
        self.windows += math.prod(step.op.counts(step.input)) if isinstance(step.op, ops.Pool2d) else 0

    def check(self, limits: Limits, origin: str, cure: str) -> None:
        """Raises ForeignModelError, with the fix, where the proof can't be afforded."""
        for what, number, limit in (
            ("multiplications", self.macs, limits.macs),
            ("cells under windows", self.seen, limits.seen),
            ("numbers in one layer's maps", self.largest, limits.largest),
            ("numbers in all maps", self.total, limits.total),
            ("windows of pools", self.windows, limits.windows),
        ):
            if limit is not None and number > limit:
                raise refusal(origin, f"its proof takes {number:,} {what} per batch; the limit is {limit:,}", cure)


def check_cost(chain: Chain, batch: int, origin: str, cure: str) -> None:
    """Raises ForeignModelError, with the fix, where onnxruntime or PyTorch would take too long for the chain."""
    cost = Cost(batch, batch * chain.input.size)
    for step in chain.steps:
        cost.add(step)
    cost.check(COMPILED, origin, cure)
