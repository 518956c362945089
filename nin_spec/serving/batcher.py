"""One model's queue and its worker threads: dynamic batching of waiting requests.

A request runs at once if the model is idle. During a run others queue, and the next run takes the queued ones, up to
`rows`; with a `delay` it waits that long for more. A request is never split, its rows are never mixed with another's,
and one that expired or whose client left is dropped. The threads take from the queue themselves, so that the model
never waits for the event loop.

With `workers` there are two ways to run. A single request uses the whole machine: every operator is divided over the
cores. When several wait, each worker runs its share of them on one core, independent of the others: a divided operator
takes as long as its slowest part, and under load some core is always busy.
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
    """The receiver of a response: `lost` once it has disconnected."""

    lost: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """At most `rows` per run, `delay` seconds to wait for them, `queue` rows that may wait, `buckets` to pad to.

    `workers`: parallel runs when several requests wait. `size`: limit in bytes of the inputs of a run of several
    requests, 0 for none: for an open size, `rows` was measured at a small one.
    """

    rows: int = 1
    delay: float = 0.0
    queue: int = 256
    buckets: tuple[int, ...] = ()
    workers: int = 1
    size: int = 0


@dataclass(slots=True, eq=False)
class Waiting:
    """A request in the queue, or running. Requests in one run must have the same `key`."""

    arrays: Sequence[Array]
    rows: int
    key: tuple[Shape, ...]
    future: asyncio.Future[list[Array]]
    caller: Caller | None
    arrived: float
    deadline: float
    result: list[Array] | ServingError | None = None

    def unneeded(self, now: float) -> ServingError | None:
        """Why the request need not run any more, else None."""
        if self.deadline <= now:
            return _expired()
        if (self.caller is not None and self.caller.lost) or self.future.done():
            return GoneError("the client left before its turn")
        return None


@dataclass(slots=True, eq=False)
class Batch:
    """One run: its requests, whether it had the whole machine, and its times in seconds."""

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
    """Submit from the event loop.

    `run` and `worker` are called in the batcher's threads. `run` is called when no other run is in progress; `worker`
    by as many threads at once as there are workers.
    """

    run: Run
    limits: Limits
    statistics: Statistics = field(default_factory=Statistics)
    name: str = "batcher"
    worker: Run | None = None

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiting] = deque()
        self._rows = 0
        self._running: list[Batch] = []
        self._seconds_a_row = 0.0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = math.inf
        self._wake = threading.Condition()
        self._ended = self._loop.create_future()
        self._workers = self.limits.workers if self.worker else 1
        self._working = self._workers
        for number in range(self._workers):
            threading.Thread(target=self._work, name=f"{self.name}, {number}", daemon=True).start()

    # -------------------------------------------------------------- in the event loop

    @property
    def pending(self) -> int:
        """Waiting requests."""
        return len(self._queue)

    def admit(self) -> None:
        """Raise OverloadedError if any request would be rejected now."""
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
        """Remove requests that were cancelled while waiting: their arrays, and their room in the queue."""
        with self._wake:
            for waiting in [w for w in self._queue if w.future.done()]:
                self._queue.remove(waiting)
                self._rows -= waiting.rows

    def _has_room(self, rows: int) -> bool:
        return not self._rows or self._rows + rows <= self.limits.queue

    def _full(self) -> OverloadedError:
        seconds = (self._rows + sum(batch.rows for batch in tuple(self._running))) * self._seconds_a_row
        return OverloadedError(f"the queue is full: {self._rows} rows wait", retry_after=max(1, round(seconds)))

    def _look_at(self, deadline: float) -> None:
        """Check the queue at the earliest deadline: one timer for all requests."""
        if self._timer is not None:
            self._timer.cancel()
        self._next_look = deadline
        self._timer = self._loop.call_later(deadline - time.perf_counter(), self._expire)

    def _expire(self) -> None:
        """Respond at the deadline, even while long runs keep the threads busy."""
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
        """Reject new requests, run the waiting ones, end the threads; with `at_once`, drop the waiting ones."""
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

    def _deliver(self, batch: Batch) -> None:
        for waiting in (*batch.ran, *batch.dropped):
            assert waiting.result is not None  # noqa: S101 the thread set each one
            self._settle(waiting, waiting.result)
        answered = [w for w in batch.ran if not isinstance(w.result, ServingError)]
        if answered:
            self.statistics.ran(sum(w.rows for w in answered), batch.executions)
            self.statistics.took(len(answered), batch.queued, batch.gather, batch.infer, batch.split)

    def _settle(self, waiting: Waiting, result: list[Array] | ServingError) -> None:
        if waiting.future.done():
            return  # the caller was cancelled
        if isinstance(result, ServingError):
            waiting.future.set_exception(result)
        else:
            waiting.future.set_result(result)

    # -------------------------------------------------------------- in the threads

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            if batch.ran:
                self._execute(batch)
            with self._wake:
                self._running.remove(batch)
            self._loop.call_soon_threadsafe(self._deliver, batch)
        with self._wake:
            self._working -= 1
            last = not self._working
            self._wake.notify_all()
        if last:
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _take(self) -> Batch | None:
        """Wait for work; None if closed with an empty queue."""
        with self._wake:
            idle = not self._queue
            while not self._queue or any(batch.alone for batch in self._running):
                if self._closed and not self._queue:
                    return None
                self._wake.wait()
            if self.limits.delay and not idle:
                self._gather()
            batch = self._pick()
            if self._queue:
                self._wake.notify()  # for the next worker
            return batch

    def _gather(self) -> None:
        """Wait for a full run, until the oldest request has waited for `delay`."""
        until = self._queue[0].arrived + self.limits.delay if self._queue else 0
        while self._rows < self.limits.rows and not self._closed and (left := until - time.perf_counter()) > 0:
            self._wake.wait(left)

    def _pick(self) -> Batch:
        """Take requests that fit into one run from the front, dropping those no longer needed."""
        batch, now, queue, room = Batch([], []), time.perf_counter(), self._queue, self._share()
        while queue:
            first = queue[0]
            if (reason := first.unneeded(now)) is not None:
                first.result = reason
                batch.dropped.append(queue.popleft())
            elif batch.ran and (batch.rows + first.rows > room or first.key != batch.ran[0].key):
                break
            else:
                room = min(room, self._fitting(first))
                batch.rows += first.rows
                batch.queued += now - first.arrived
                batch.ran.append(queue.popleft())
        self._rows -= batch.rows + sum(w.rows for w in batch.dropped)
        batch.alone = self._workers == 1 or (len(batch.ran) == 1 and not queue and not self._running)
        self._running.append(batch)
        return batch

    def _share(self) -> int:
        """Rows for one run: a full one, or an equal share for each idle worker."""
        free = self._workers - len(self._running)
        return min(self.limits.rows, math.ceil(self._rows / free))

    def _fitting(self, waiting: Waiting) -> int:
        """Most rows of a request's size in one run."""
        if not self.limits.size:
            return self.limits.rows
        return self.limits.size * waiting.rows // sum(a.nbytes for a in waiting.arrays)

    def _execute(self, batch: Batch) -> None:
        try:
            self._together(batch, batch.ran)
        except Exception as error:  # noqa: BLE001 any exception of the model becomes the response
            if len(batch.ran) == 1:
                batch.ran[0].result = _refusal(error)
                return
            for waiting in batch.ran:  # alone, so that requests don't fail because of others
                if (reason := waiting.unneeded(time.perf_counter())) is not None:
                    waiting.result = reason
                    continue
                try:
                    self._together(batch, [waiting])
                except Exception as own:  # noqa: BLE001
                    waiting.result = _refusal(own)

    def _together(self, batch: Batch, group: list[Waiting]) -> None:
        begun = time.perf_counter()
        arrays = gather(group, self.limits.buckets)
        ready = time.perf_counter()
        outputs = (self.run if batch.alone or self.worker is None else self.worker)(arrays)
        done = time.perf_counter()
        split(group, outputs, len(arrays[0]))
        end = time.perf_counter()
        batch.executions += 1
        batch.gather, batch.infer, batch.split = (
            batch.gather + ready - begun,
            batch.infer + done - ready,
            batch.split + end - done,
        )
        self._seconds_a_row = (done - ready) / sum(w.rows for w in group) / (1 if batch.alone else self._workers)


def gather(group: Sequence[Waiting], buckets: Sequence[int]) -> Sequence[Array]:
    """The rows of all requests in order, padded with zeros to the next bucket."""
    rows = sum(w.rows for w in group)
    extra = next((size for size in buckets if size >= rows), rows) - rows
    if len(group) == 1 and not extra:
        return group[0].arrays
    parts = zip(*(w.arrays for w in group), strict=True)
    return [np.concatenate([*part, *_zeros(part[0], extra)]) for part in parts]


def _zeros(like: Array, rows: int) -> list[Array]:
    return [np.zeros((rows, *like.shape[1:]), like.dtype)] if rows else []


def split(group: Sequence[Waiting], outputs: Sequence[Array], rows: int) -> None:
    """Split the `rows` of every output by request. Raises FailedError if an output has a different number."""
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
