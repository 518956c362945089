"""Runs side by side, on one core each: who is alone has the machine, and nothing is lost between the two ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from batcher_model import Array, Model, go, rows

from nin_spec.serving.batcher import Batcher, Limits
from nin_spec.serving.errors import BadRequestError


def test_who_is_alone_has_the_machine_and_what_waits_is_shared_out() -> None:
    """The first runs on all cores; what queued meanwhile is run by both workers at once, each its half."""

    async def test() -> None:
        whole, together = Model(), threading.Barrier(2)
        beside: list[list[float]] = []

        def worker(arrays: Sequence[Array]) -> list[Array]:
            together.wait(60)  # passes only if the other worker runs, too
            beside.append(arrays[0].ravel().tolist())
            return [arrays[0] * 2]

        batcher = Batcher(whole, Limits(rows=8, workers=2), worker=worker)
        first = batcher.submit(rows(0), None)
        await asyncio.to_thread(whole.begun.wait, 20)
        others = [batcher.submit(rows(k), None) for k in (1, 2, 3, 4)]
        await asyncio.sleep(0.05)
        assert not beside, "nothing runs beside who is alone"
        whole.gate.set()
        found = [(await f)[0].item() for f in (first, *others)]
        assert found == [0, 2, 4, 6, 8]
        assert whole.runs == [[0]]
        assert sorted(beside) == [[1, 2], [3, 4]]
        assert (batcher.statistics.inferences, batcher.statistics.executions) == (5, 3)
        await batcher.submit(rows(7), None)
        assert whole.runs == [[0], [7]]
        await batcher.close()

    go(test())


def test_lanes_never_run_beside_the_whole_and_lose_nothing() -> None:
    """Hundreds of requests of many sizes, some that fail: each its own answer, and no thread is left behind."""

    async def test() -> None:
        guard, under_way = threading.Lock(), {"whole": 0, "lane": 0}
        seen: list[tuple[int, int]] = []

        def counting(kind: str) -> Any:
            def run(arrays: Sequence[Array]) -> list[Array]:
                with guard:
                    under_way[kind] += 1
                    seen.append((under_way["whole"], under_way["lane"]))
                threading.Event().wait(0.0005)
                with guard:
                    under_way[kind] -= 1
                if 13.0 in arrays[0]:
                    raise BadRequestError("it can't")
                return [arrays[0] * 2]

            return run

        batcher = Batcher(
            counting("whole"), Limits(rows=4, queue=10_000, workers=3), name="lanes", worker=counting("lane")
        )
        random, futures = np.random.default_rng(0), []
        for k in range(400):
            values = [13.0] if k % 50 == 13 else [float(100 + k)] * int(random.integers(1, 7))
            futures.append((values, batcher.submit(rows(*values), None)))
            if random.random() < 0.3:
                await asyncio.sleep(float(random.choice([0, 0.001, 0.004])))
        await asyncio.gather(batcher.close(), *(f for _, f in futures), return_exceptions=True)
        for values, future in futures:
            if values == [13.0]:
                assert isinstance(future.exception(), BadRequestError)
            else:
                assert future.result()[0].ravel().tolist() == [2 * v for v in values]
        assert all(whole == 0 or (whole, worker) == (1, 0) for whole, worker in seen)
        assert max(worker for _, worker in seen) == 3
        for thread in [t for t in threading.enumerate() if t.name.startswith("lanes, ")]:
            thread.join(60)
            assert not thread.is_alive()

    go(test())


def test_closing_waits_for_every_lane() -> None:
    """Also while one is alone, and the others have nothing to do."""

    async def test() -> None:
        whole = Model()
        batcher = Batcher(whole, Limits(rows=8, workers=3), worker=lambda arrays: [arrays[0] * 2])
        first = batcher.submit(rows(1), None)
        await asyncio.to_thread(whole.begun.wait, 20)
        waiting = [batcher.submit(rows(k), None) for k in (2, 3)]
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        whole.gate.set()
        await asyncio.gather(closing, first, *waiting)
        await asyncio.wait_for(batcher.close(), 60)  # again does no harm

    go(test())
