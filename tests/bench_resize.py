"""Resizing pictures in memory: `python tests/bench_resize.py` compares two threads with one by one, and judges.

Of CIFAR-10's size to the 224 x 224 of the published recipes, colour and gray, in batches of 128; the bytes must be the
same. Wall-clock time, on an otherwise idle machine with two cores or more; the contenders take turns, and the median of
the turns' ratios counts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import numpy as np
from bars import Bar, verdicts
from PIL import Image

from nin_spec.data import threads
from nin_spec.data.arrays import bring
from nin_spec.pictures import Frame, Pixels, to_frame

TURNS, BATCH, SIDE = 15, 128, 224


def one_by_one(pictures: Pixels, frame: Frame) -> Pixels:
    """Each picture brought to the frame after the other, on one thread."""
    flat = pictures[..., 0] if pictures.shape[3] == 1 else pictures
    return np.stack([to_frame(Image.fromarray(picture), frame) for picture in flat])


def seconds(resize: Callable[[Pixels, Frame], Pixels], pictures: Pixels) -> tuple[float, bytes]:
    """What a batch takes, and what comes out."""
    begun = time.perf_counter()
    made = resize(pictures, Frame(pictures.shape[3], SIDE, SIDE))
    return time.perf_counter() - begun, made.tobytes()


def ratio(channels: int) -> float:
    """How many times as fast two threads are."""
    threads.THREADS = 2
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, channels), np.uint8)
    found = []
    for _ in range(TURNS):
        (one, first), (two, second) = seconds(one_by_one, pictures), seconds(bring, pictures)
        if first != second:
            sys.exit("two threads resize to other bytes than one")
        found.append((BATCH / one, BATCH / two))
    alone, both = np.median(found, axis=0)
    print(f"{channels} channels: {alone:,.0f} pictures/s one by one, {both:,.0f} on two threads")
    return float(np.median([two / one for one, two in found]))


def main() -> None:
    """Print the rates and the verdicts; exit 1 where a bar is missed."""
    cores = len(os.sched_getaffinity(0))
    unjudged = "" if cores > 1 else "one core"
    bars = [Bar(f"two threads / one by one, {c} channels", ">=", 1.7, ratio(c), unjudged=unjudged) for c in (3, 1)]
    print("\n".join(verdicts(bars)))
    sys.exit(any(bar.missed for bar in bars))


if __name__ == "__main__":
    main()
