"""What an import may take, counted before the work: a file of a few kilobytes can ask for gigabytes, or for hours."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from nin_spec.importers.chain import Chain, refusal

MAX_MADE = 1 << 24
"""Numbers that are made of constants in all, and by one node of a region."""
MAX_SECONDS = 12.0
"""CPU time of reading a graph: what its constants come to, and what its regions are."""
MAX_VALUES = 1 << 26
"""Numbers of a batch's largest maps: the proof holds some four times as many bytes."""
MAX_MACS = 1 << 37
"""Multiplications of a batch of the proof."""
MAX_WINDOWS = 1 << 33
"""Cells that the windows of a batch's pools and norms see."""


@dataclass
class Budget:
    """What is left of an import's memory and time."""

    made: int = 0
    began: float = field(default_factory=time.thread_time)

    def spend(self, numbers: int, origin: str, *, kept: bool) -> None:
        """Count numbers that `origin` is about to make, to be `kept` or not. Raises ForeignModelError for too many."""
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
        """Raises ForeignModelError once the time is up."""
        if time.thread_time() - self.began > MAX_SECONDS:
            raise refusal(origin, f"reading the graph took {MAX_SECONDS:g} s by here, which is the limit")


def check_cost(chain: Chain, batch: int, origin: str, *, fixed: bool) -> None:
    """Raises ForeignModelError where the proof can't be afforded: it runs the network on a batch.

    `fixed` says that the original takes no smaller batch.
    """
    macs = windows = values = 0
    for step in chain.steps:
        macs += step.op.macs(step.input)
        windows += step.output.size * math.prod(getattr(step.op, "kernel_size", (1,)))
        values = max(values, step.output.size, step.input.size)
    cure = "export it with an open batch" if fixed else "pass a smaller --size, if the file leaves the size open"
    for what, number, limit in (
        ("multiplications", macs * batch, MAX_MACS),
        ("cells under windows", windows * batch, MAX_WINDOWS),
        ("numbers in one layer's maps", values * batch, MAX_VALUES),
    ):
        if number > limit:
            raise refusal(origin, f"its proof takes {number:,} {what} per batch; the limit is {limit:,}", cure)
