"""Work on many pictures on all cores: Pillow decodes and resizes without holding the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")

THREADS = min(8, os.cpu_count() or 1)
_CHUNK = 8
"""Most pictures that a thread takes at once: handing over one costs a tenth of a small picture's resize."""


def each(make: Callable[[int], Made], count: int) -> list[Made]:
    """`make(k)` for each k below `count`, in their order. Raises the first error in that order."""
    chunk = min(_CHUNK, -(-count // (4 * THREADS)))

    def several(start: int) -> list[Made]:
        return [make(k) for k in range(start, min(start + chunk, count))]

    if THREADS == 1 or count < 2:
        return [make(k) for k in range(count)]
    with ThreadPoolExecutor(THREADS) as pool:
        return [made for part in pool.map(several, range(0, count, chunk)) for made in part]
