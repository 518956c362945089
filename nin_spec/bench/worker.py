"""One contender in a separate process: it reads a request as a line of JSON, responds with another, and waits.

Started by process.py as `python -m nin_spec.bench.worker`. It exits at the end of its input, and is idle while waiting:
contenders never run at the same time.
"""

from __future__ import annotations

import time

_BEGUN = time.perf_counter()  # before importing anything that a session needs

import gc  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from nin_spec.bench.contenders import Job  # noqa: E402
from nin_spec.processes import Message, respond  # noqa: E402

WARM_RUNS = 2
_NANO = 1e9


class Worker:
    """The state of a worker between requests. The methods below are the requests."""

    def __init__(self) -> None:
        self.runner: Any = None
        self.call: Callable[[], Any] | None = None

    def open(self, job: Message) -> Message:
        """Open a job's contender; `seconds` counts from the start of this process, including imports."""
        from nin_spec.bench.runners import make_runner

        self.runner = make_runner(Job(**job))
        seconds = time.perf_counter() - _BEGUN
        return {"facts": self.runner.facts, "seconds": seconds, "torch": "torch" in sys.modules}

    def prepare(self, job: Message) -> Message:
        """Write the file that another worker opens."""
        from nin_spec.bench.runners import export_with_torch

        export_with_torch(Job(**job))
        return {"seconds": time.perf_counter() - _BEGUN}

    def ready(self, inputs: str, scores: str, seconds: float) -> Message:
        """Load a batch, compute it once, save the scores, and warm up for `seconds`.

        `first` is the first run, including compilation and search, `usual` the last one.
        """
        import numpy as np

        x = np.load(inputs, allow_pickle=False)
        begin = time.perf_counter()
        self.call = self.runner.ready(x)
        with self.runner.around():
            result = self.call()
            first = time.perf_counter() - begin
            found = self.runner.scores(result)
            warm = timed(self.call, seconds, WARM_RUNS)
        if found is not None:
            np.save(scores, found, allow_pickle=False)
        self.runner.rest()
        return {"first": first, "usual": warm[-1] / _NANO, "scores": found is not None}

    def turn(self, seconds: float) -> Message:
        """Run for `seconds`, at least once, after an untimed run; returns each run's time in ns."""
        if self.call is None:
            raise RuntimeError("a turn before a batch")
        with self.runner.around():
            self.call()  # the caches still contain the last contender's data
            found = timed(self.call, seconds, 1)
        self.runner.rest()
        return {"runs": found}


def timed(call: Callable[[], Any], seconds: float, least: int) -> list[int]:
    """The times of runs in ns, until `seconds` have passed and `least` runs are done."""
    runs: list[int] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter_ns() + int(seconds * _NANO)
        while True:
            begin = time.perf_counter_ns()
            call()
            after = time.perf_counter_ns()
            runs.append(after - begin)
            if after >= end and len(runs) >= least:
                return runs
    finally:
        gc.enable()


def main() -> None:
    """Respond to requests until the end of the input."""
    worker = Worker()
    respond({"open": worker.open, "prepare": worker.prepare, "ready": worker.ready, "turn": worker.turn})


if __name__ == "__main__":
    main()
