"""A model that is a Python function, for the tests of the batcher, and how they ask it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.serving.batcher import Batcher, Limits
from nin_spec.serving.errors import BadRequestError

Array = NDArray[Any]


def rows(*values: float) -> list[Array]:
    """One input, a row for each value."""
    return [np.array(values, np.float32)[:, None]]


@dataclass
class Model:
    """Doubles. Remembers each run; waits at the gate; fails for a run that holds a number in `fails`."""

    gate: threading.Event = field(default_factory=threading.Event)
    runs: list[list[float]] = field(default_factory=list)
    fails: frozenset[float] = frozenset()
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        self.runs.append(arrays[0].ravel().tolist())
        self.begun.set()
        assert self.gate.wait(20)
        if self.fails & set(self.runs[-1]):
            raise BadRequestError("it can't")
        return [arrays[0] * 2, arrays[0] + 1]


@dataclass
class Caller:
    """Who asked."""

    lost: bool = False


async def busy(model: Model, limits: Limits) -> tuple[Batcher, asyncio.Future[list[Array]]]:
    """A batcher whose model is running a first request, of one row that holds 0."""
    batcher = Batcher(model, limits)
    first = batcher.submit(rows(0), None)
    await asyncio.to_thread(model.begun.wait, 20)
    return batcher, first


def go(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 120))
