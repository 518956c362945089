"""Prefetching: a thread computes the next items while the current one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def read_ahead(make: Callable[[Item], Made], items: Iterable[Item], depth: int = 3) -> Generator[Made]:
    """`make(item)` for each item, in order, computing at most `depth` results ahead.

    An exception of `make` is raised in place of its result. Close the iterator to stop early.
    """
    pool = ThreadPoolExecutor(1, "nin-spec-read-ahead")
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
