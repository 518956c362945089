"""One model's queue and the threads that run it: what waits together runs together.

A request that finds the model idle runs at once. While a run is under way others queue, and the next run
takes what has queued, up to `rows`; with a `delay` it waits that long for more. A request is never split,
its rows are never mixed up with another's, and one that expired or whose client left is dropped unrun.
The threads take from the queue themselves, so that the model never waits for the event loop.

With `lanes` there are two ways to run. A request that is alone has the whole machine: every operator is divided
over the cores. When several wait, each lane runs its share of them on one core, and waits for no other: an
operator that is divided lasts as long as its slowest part, and under load some core always has something else to do.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from nin_spec.serving.errors import ExpiredError, FailedError, GoneError, OverloadedError, ServingError
from nin_spec.serving.metrics import Statistics
from nin_spec.serving.tensors import Array, Shape, has_rows

Run = Callable[[Sequence[Array]], list[Array]]


class Caller(Protocol):
    """Who waits for an answer: `lost` once nobody does."""

    lost: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """`rows` a run at most, `delay` seconds to wait for them, `queue` rows that may wait, `buckets` to pad to.

    `lanes`: runs side by side when several requests wait. `size`: bytes of inputs that a run of several requests may
    have, 0 for any: where sizes are open, the rows that pay were measured at a small one.
    """

    rows: int = 1
    delay: float = 0.0
    queue: int = 256
    buckets: tuple[int, ...] = ()
    lanes: int = 1
    size: int = 0


@dataclass(slots=True, eq=False)
class Waiting:
    """A request in the queue, or running. `key` is what it must share with its neighbours in a run."""

    arrays: Sequence[Array]
    rows: int
    key: tuple[Shape, ...]
    future: asyncio.Future[list[Array]]
    caller: Caller | None
    arrived: float
    deadline: float
    result: list[Array] | ServingError | None = None

    def unneeded(self, now: float) -> ServingError | None:
        """Why nobody waits for a run of it any more."""
        if self.deadline <= now:
            return _expired()
        if (self.caller is not None and self.caller.lost) or self.future.done():
            return GoneError("the client left before its turn")
        return None


@dataclass(slots=True, eq=False)
class Lap:
    """What a run held, whether it had the machine to itself, and what it cost, in seconds."""

    ran: list[Waiting]
    dropped: list[Waiting]
    rows: int = 0
    alone: bool = True
    executions: int = 0
    queued: float = 0.0
    gather: float = 0.0
    infer: float = 0.0
    split: float = 0.0


@dataclass(eq=False)
class Batcher:
    """Submit from the event loop; `run` and `lane` are called in the batcher's own threads.

    `run` is called when no other run is under way; `lane` by as many threads at once as there are lanes.
    """

    run: Run
    limits: Limits
    statistics: Statistics = field(default_factory=Statistics)
    name: str = "batcher"
    lane: Run | None = None

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiting] = deque()
        self._rows = 0
        self._running: list[Lap] = []
        self._seconds_a_row = 0.0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = math.inf
        self._wake = threading.Condition()
        self._ended = self._loop.create_future()
        self._lanes = self.limits.lanes if self.lane else 1
        self._working = self._lanes
        for number in range(self._lanes):
            threading.Thread(target=self._work, name=f"{self.name}, {number}", daemon=True).start()

    # -------------------------------------------------------------- in the event loop

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    def admit(self) -> None:
        """Raise OverloadedError if a request would be refused now, however few rows it has."""
        if not self._has_room(1):
            raise self._full()

    def submit(
        self, arrays: Sequence[Array], timeout: float | None, caller: Caller | None = None
    ) -> asyncio.Future[list[Array]]:
        """Queue a request. Raises OverloadedError at once when the queue is full or closed."""
        rows = len(arrays[0])
        now = time.perf_counter()
        with self._wake:
            if self._closed:
                raise OverloadedError("the model is being closed", retry_after=1)
            if not self._has_room(rows):
                raise self._full()
            future: asyncio.Future[list[Array]] = self._loop.create_future()
            key = tuple(a.shape[1:] for a in arrays)
            waiting = Waiting(arrays, rows, key, future, caller, now, now + (timeout or math.inf))
            self._queue.append(waiting)
            self._rows += rows
            self._wake.notify()
        if waiting.deadline < self._next_look:
            self._look_at(waiting.deadline)
        return future

    def sweep(self) -> None:
        """Let go of what was cancelled while it waited: its arrays, and its room in the queue."""
        with self._wake:
            for waiting in [w for w in self._queue if w.future.done()]:
                self._queue.remove(waiting)
                self._rows -= waiting.rows

    def _has_room(self, rows: int) -> bool:
        return not self._rows or self._rows + rows <= self.limits.queue

    def _full(self) -> OverloadedError:
        seconds = (self._rows + sum(lap.rows for lap in tuple(self._running))) * self._seconds_a_row
        return OverloadedError(f"the queue is full: {self._rows} rows wait", retry_after=max(1, round(seconds)))

    def _look_at(self, deadline: float) -> None:
        """Have an eye on the queue at the earliest deadline: one timer for all, not one for each request."""
        if self._timer is not None:
            self._timer.cancel()
        self._next_look = deadline
        self._timer = self._loop.call_later(deadline - time.perf_counter(), self._expire)

    def _expire(self) -> None:
        """The answer comes at the deadline, even while long runs keep the threads busy."""
        self._timer, self._next_look = None, math.inf
        now = time.perf_counter()
        with self._wake:
            late = [w for w in self._queue if w.deadline <= now]
            for waiting in late:
                self._queue.remove(waiting)
                self._rows -= waiting.rows
            earliest = min((w.deadline for w in self._queue), default=math.inf)
        for waiting in late:
            self._settle(waiting, _expired())
        if earliest < math.inf:
            self._look_at(earliest)

    async def close(self, *, at_once: bool = False) -> None:
        """Refuse what comes, run what waits, end the threads; `at_once` runs nothing more than is running."""
        with self._wake:
            self._closed = True
            dropped = list(self._queue) if at_once else []
            if at_once:
                self._queue.clear()
                self._rows = 0
            self._wake.notify_all()
        for waiting in dropped:
            self._settle(waiting, OverloadedError("the model is being closed", retry_after=1))
        await asyncio.shield(self._ended)
        if self._timer is not None:
            self._timer.cancel()

    def _deliver(self, lap: Lap) -> None:
        for waiting in (*lap.ran, *lap.dropped):
            assert waiting.result is not None  # noqa: S101 the thread gave each one
            self._settle(waiting, waiting.result)
        answered = [w for w in lap.ran if not isinstance(w.result, ServingError)]
        if answered:
            self.statistics.ran(sum(w.rows for w in answered), lap.executions)
            self.statistics.took(len(answered), lap.queued, lap.gather, lap.infer, lap.split)

    def _settle(self, waiting: Waiting, result: list[Array] | ServingError) -> None:
        if waiting.future.done():
            return  # the one who asked was cancelled
        if isinstance(result, ServingError):
            waiting.future.set_exception(result)
        else:
            waiting.future.set_result(result)

    # -------------------------------------------------------------- in the threads

    def _work(self) -> None:
        while (lap := self._take()) is not None:
            if lap.ran:
                self._execute(lap)
            with self._wake:
                self._running.remove(lap)
            self._loop.call_soon_threadsafe(self._deliver, lap)
        with self._wake:
            self._working -= 1
            last = not self._working
            self._wake.notify_all()
        if last:
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _take(self) -> Lap | None:
        """Wait for work; None when closed and nothing waits."""
        with self._wake:
            idle = not self._queue
            while not self._queue or any(lap.alone for lap in self._running):
                if self._closed and not self._queue:
                    return None
                self._wake.wait()
            if self.limits.delay and not idle:
                self._gather()
            lap = self._pick()
            if self._queue:
                self._wake.notify()  # for the next lane
            return lap

    def _gather(self) -> None:
        """Wait for a full run, until the oldest has waited for `delay`."""
        until = self._queue[0].arrived + self.limits.delay if self._queue else 0
        while self._rows < self.limits.rows and not self._closed and (left := until - time.perf_counter()) > 0:
            self._wake.wait(left)

    def _pick(self) -> Lap:
        """From the front, those that fit one run; those that need none are dropped on the way."""
        lap, now, queue, room = Lap([], []), time.perf_counter(), self._queue, self._share()
        while queue:
            first = queue[0]
            if (reason := first.unneeded(now)) is not None:
                first.result = reason
                lap.dropped.append(queue.popleft())
            elif lap.ran and (lap.rows + first.rows > room or first.key != lap.ran[0].key):
                break
            else:
                room = min(room, self._fitting(first))
                lap.rows += first.rows
                lap.queued += now - first.arrived
                lap.ran.append(queue.popleft())
        self._rows -= lap.rows + sum(w.rows for w in lap.dropped)
        lap.alone = self._lanes == 1 or (len(lap.ran) == 1 and not queue and not self._running)
        self._running.append(lap)
        return lap

    def _share(self) -> int:
        """Rows for one run: a full one, or what keeps each lane that is free as busy as the others."""
        free = self._lanes - len(self._running)
        return min(self.limits.rows, math.ceil(self._rows / free))

    def _fitting(self, waiting: Waiting) -> int:
        """Rows of a request's size that one run may have."""
        if not self.limits.size:
            return self.limits.rows
        return self.limits.size * waiting.rows // sum(a.nbytes for a in waiting.arrays)

    def _execute(self, lap: Lap) -> None:
        try:
            self._together(lap, lap.ran)
        except Exception as error:  # noqa: BLE001 whatever a model raises is its request's answer
            if len(lap.ran) == 1:
                lap.ran[0].result = _refusal(error)
                return
            for waiting in lap.ran:  # alone, so that nobody suffers for a neighbour
                if (reason := waiting.unneeded(time.perf_counter())) is not None:
                    waiting.result = reason
                    continue
                try:
                    self._together(lap, [waiting])
                except Exception as own:  # noqa: BLE001
                    waiting.result = _refusal(own)

    def _together(self, lap: Lap, group: list[Waiting]) -> None:
        begun = time.perf_counter()
        arrays = gather(group, self.limits.buckets)
        ready = time.perf_counter()
        outputs = (self.run if lap.alone or self.lane is None else self.lane)(arrays)
        done = time.perf_counter()
        split(group, outputs, len(arrays[0]))
        end = time.perf_counter()
        lap.executions += 1
        lap.gather, lap.infer, lap.split = (
            lap.gather + ready - begun,
            lap.infer + done - ready,
            lap.split + end - done,
        )
        self._seconds_a_row = (done - ready) / sum(w.rows for w in group) / (1 if lap.alone else self._lanes)


def gather(group: Sequence[Waiting], buckets: Sequence[int]) -> Sequence[Array]:
    """The rows of all, one request after another, filled up with zeros to the next bucket."""
    rows = sum(w.rows for w in group)
    extra = next((size for size in buckets if size >= rows), rows) - rows
    if len(group) == 1 and not extra:
        return group[0].arrays
    parts = zip(*(w.arrays for w in group), strict=True)
    return [np.concatenate([*part, *_zeros(part[0], extra)]) for part in parts]


def _zeros(like: Array, rows: int) -> list[Array]:
    return [np.zeros((rows, *like.shape[1:]), like.dtype)] if rows else []


def split(group: Sequence[Waiting], outputs: Sequence[Array], rows: int) -> None:
    """Each request its own of the `rows` of every output. Raises FailedError where an output has other ones."""
    if len(group) == 1 and rows == group[0].rows:
        group[0].result = list(outputs)
        return
    if not all(has_rows(output, rows) for output in outputs):
        raise FailedError(f"an output doesn't have the {rows} rows of its input")
    start = 0
    for waiting in group:
        end = start + waiting.rows
        waiting.result = [output[start:end] for output in outputs]
        start = end


def _refusal(error: Exception) -> ServingError:
    return error if isinstance(error, ServingError) else FailedError(f"the model failed: {error}")


def _expired() -> ExpiredError:
    return ExpiredError("the request waited in the queue for longer than its timeout", retry_after=1)
