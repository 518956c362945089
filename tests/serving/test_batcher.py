"""The batcher's promises, with a model that is a Python function: what runs together, what is dropped, who suffers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from batcher_model import Array, Caller, Model, busy, go, rows

from nin_spec.serving.batcher import Batcher, Limits
from nin_spec.serving.errors import BadRequestError, ExpiredError, FailedError, GoneError, OverloadedError


def test_what_waits_together_runs_together() -> None:
    """Idle: at once. Busy: what has queued, in order, each with its own rows of every output."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=8))
        others = [batcher.submit(rows(1), None), batcher.submit(rows(2, 3), None), batcher.submit(rows(4), None)]
        model.gate.set()
        found = [await f for f in (first, *others)]
        assert model.runs == [[0], [1, 2, 3, 4]]
        assert [f[0].ravel().tolist() for f in found] == [[0], [2], [4, 6], [8]]
        assert [f[1].ravel().tolist() for f in found] == [[1], [2], [3, 4], [5]]
        s = batcher.statistics
        assert (s.inferences, s.executions) == (5, 2)
        await batcher.close()

    go(test())


def test_a_request_is_never_split() -> None:
    """A run ends before the request that would not fit whole; one that is larger than a run goes alone."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=3))
        others = [
            batcher.submit(rows(1, 2), None),
            batcher.submit(rows(3, 4), None),
            batcher.submit(rows(*range(5, 10)), None),
        ]
        model.gate.set()
        await asyncio.gather(first, *others)
        assert model.runs == [[0], [1, 2], [3, 4], [5, 6, 7, 8, 9]]
        await batcher.close()

    go(test())


def test_only_one_shape_runs_together() -> None:
    """Sizes that differ are different runs, in the order in which they came."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=8))
        wide = [np.ones((1, 2), np.float32)]
        others = [batcher.submit(rows(1), None), batcher.submit(wide, None), batcher.submit(rows(2), None)]
        model.gate.set()
        await asyncio.gather(first, *others)
        assert model.runs == [[0], [1], [1, 1], [2]]
        await batcher.close()

    go(test())


def test_buckets_are_filled_with_zeros_that_nobody_gets() -> None:
    """A run is padded up to a warmed size, and its answers are those of the requests alone."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=8, buckets=(2, 4, 8)))
        others = [batcher.submit(rows(1), None), batcher.submit(rows(2, 3), None)]
        model.gate.set()
        found = [(await f)[0].ravel().tolist() for f in (first, *others)]
        assert found == [[0], [2], [4, 6]]
        assert model.runs == [[0, 0], [1, 2, 3, 0]]
        await batcher.close()

    go(test())


def test_nobody_suffers_for_a_neighbour() -> None:
    """A run that fails is done again one by one: only the request at fault is refused."""

    async def test() -> None:
        model = Model(fails=frozenset({2.0}))
        batcher, first = await busy(model, Limits(rows=8))
        others = [batcher.submit(rows(k), None) for k in (1, 2, 3)]
        model.gate.set()
        _, one, two, three = await asyncio.gather(first, *others, return_exceptions=True)
        assert isinstance(two, BadRequestError)
        assert [np.asarray(x)[0].item() for x in (one, three)] == [2, 6]
        assert model.runs == [[0], [1, 2, 3], [1], [2], [3]]
        await batcher.close()

    go(test())


def test_any_error_of_a_model_is_an_answer() -> None:
    """Also one that nobody thought of: the thread lives on."""

    async def test() -> None:
        def broken(_: Sequence[Array]) -> list[Array]:
            raise ZeroDivisionError("by zero")

        batcher = Batcher(broken, Limits())
        for _ in range(2):
            with pytest.raises(FailedError, match="by zero"):
                await batcher.submit(rows(1), None)
        await batcher.close()

    go(test())


def test_a_full_queue_refuses_at_once() -> None:
    """With when to come back; the queue is counted in rows, and takes what fits again once it moves."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=2, queue=3))
        waiting = [batcher.submit(rows(1, 2), None), batcher.submit(rows(3), None)]
        with pytest.raises(OverloadedError) as caught:
            batcher.submit(rows(4), None)
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1
        model.gate.set()
        await asyncio.gather(first, *waiting)
        await batcher.submit(rows(4), None)
        await batcher.close()

    go(test())


def test_what_expired_is_answered_on_time_and_not_run() -> None:
    """At its deadline, while the model is still busy with another."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=8))
        patient = batcher.submit(rows(1), 20)
        hasty = [batcher.submit(rows(2), 0.01), batcher.submit(rows(3), 0.02)]
        for future in hasty:
            with pytest.raises(ExpiredError):
                await future
        assert batcher.pending == 1
        model.gate.set()
        await asyncio.gather(first, patient)
        assert model.runs == [[0], [1]]
        await batcher.close()

    go(test())


def test_what_nobody_waits_for_is_not_run() -> None:
    """A client that left, a caller that was cancelled."""

    async def test() -> None:
        model, caller = Model(), Caller()
        batcher, first = await busy(model, Limits(rows=8))
        left = batcher.submit(rows(1), None, caller)
        cancelled = batcher.submit(rows(2), None)
        caller.lost = True
        cancelled.cancel()
        model.gate.set()
        await first
        with pytest.raises(GoneError):
            await left
        await batcher.submit(rows(3), None)
        assert model.runs == [[0], [3]]
        await batcher.close()

    go(test())


def test_a_delay_waits_for_a_full_run_and_no_longer_than_full() -> None:
    """With a long delay a run starts as soon as it is full."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=3, delay=25))
        early = batcher.submit(rows(1), None)
        model.gate.set()
        await first
        late = [batcher.submit(rows(2), None), batcher.submit(rows(3), None)]
        await asyncio.gather(early, *late)
        assert model.runs == [[0], [1, 2, 3]]
        await batcher.close()

    go(test())


def test_closing_runs_what_waits_and_refuses_what_comes() -> None:
    """Nothing that was taken is lost."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=1))
        waiting = [batcher.submit(rows(k), None) for k in (1, 2)]
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            batcher.submit(rows(3), None)
        model.gate.set()
        await asyncio.gather(closing, first, *waiting)
        assert model.runs == [[0], [1], [2]]

    go(test())


def test_only_what_was_answered_counts_as_run() -> None:
    """A batch that fails is run again one by one; the rows of those that fail alone are no inferences."""

    async def test() -> None:
        model = Model(fails=frozenset({7.0}))
        batcher, first = await busy(model, Limits(rows=8))
        good, bad = batcher.submit(rows(1, 2), None), batcher.submit(rows(7, 7, 7), None)
        model.gate.set()
        await asyncio.gather(first, good)
        with pytest.raises(BadRequestError):
            await bad
        await batcher.close()
        assert (batcher.statistics.inferences, batcher.statistics.executions) == (3, 2)

    go(test())


def test_closing_at_once_runs_nothing_more() -> None:
    """What runs is waited for, what waits is refused."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=8))
        waiting = batcher.submit(rows(1), None)
        closing = asyncio.create_task(batcher.close(at_once=True))
        with pytest.raises(OverloadedError):
            await waiting
        model.gate.set()
        await asyncio.gather(first, closing)
        assert model.runs == [[0.0]]

    go(test())


def test_who_left_during_a_failed_run_is_not_run_again() -> None:
    """A failed run is repeated one by one, for those who still wait."""

    async def test() -> None:
        model, leaves = Model(fails=frozenset({13})), Caller()

        def run(arrays: Sequence[Array]) -> list[Array]:
            leaves.lost = 13 in arrays[0]
            return model(arrays)

        batcher = Batcher(run, Limits(rows=8))
        first = batcher.submit(rows(0), None)
        await asyncio.to_thread(model.begun.wait, 20)
        gone, kept, bad = (batcher.submit(rows(v), None, c) for v, c in ((1, leaves), (2, None), (13, None)))
        model.gate.set()
        await first
        for future, error in ((gone, GoneError), (bad, BadRequestError)):
            with pytest.raises(error):
                await future
        assert (await kept)[0].ravel().tolist() == [4]
        assert model.runs == [[0], [1, 2, 13], [2], [13]]
        await batcher.close()

    go(test())


def test_what_was_cancelled_gives_its_room_back() -> None:
    """At once, not when its turn comes: gRPC's clients may cancel faster than a model runs."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=1, queue=3))
        waiting = [batcher.submit(rows(v), None) for v in (1, 2, 3)]
        with pytest.raises(OverloadedError):
            batcher.admit()
        waiting[0].cancel()
        waiting[2].cancel()
        batcher.sweep()
        assert batcher.pending == 1
        more = batcher.submit(rows(4, 5), None)
        model.gate.set()
        await asyncio.gather(first, waiting[1], more)
        assert model.runs == [[0], [2], [4, 5]]
        await batcher.close()

    go(test())


def test_an_output_with_other_rows_is_never_shared_out() -> None:
    """Of detections, say: each request then runs alone, and gets the whole output."""

    def found(arrays: Sequence[Array]) -> list[Array]:
        gate.wait(60)
        return [np.flatnonzero(arrays[0] > 0)[:, None], arrays[0] * 2]

    async def test() -> None:
        batcher = Batcher(found, Limits(rows=8))
        futures = [batcher.submit(rows(*values), None) for values in ((0,), (1, 1), (0, 0, 7))]
        gate.set()
        answers = [await f for f in futures]
        assert [a[0].ravel().tolist() for a in answers] == [[], [0, 1], [2]]
        assert [a[1].ravel().tolist() for a in answers] == [[0], [2, 2], [0, 0, 14]]
        await batcher.close()

    gate = threading.Event()
    go(test())


def test_a_run_holds_no_more_bytes_than_it_may() -> None:
    """Where sizes are open, as many rows pay as were measured of small ones."""

    async def test() -> None:
        model = Model()
        batcher, first = await busy(model, Limits(rows=8, size=2 * 4))
        waiting = [batcher.submit(rows(value), None) for value in (1, 2, 3)]
        large = batcher.submit(rows(4, 5, 6), None)
        model.gate.set()
        await asyncio.gather(first, *waiting, large)
        assert model.runs == [[0], [1, 2], [3], [4, 5, 6]]
        await batcher.close()

    go(test())
