"""One contender in a process of its own: it reads a line of JSON, does that, answers with one, and waits.

Started by process.py as `python -m nin_spec.bench.worker`. It ends when its input does. Waiting, it does
nothing: no two contenders ever work at once.
"""

from __future__ import annotations

import time

_BEGUN = time.perf_counter()  # before anything is imported that a session needs

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from nin_spec.bench.contenders import Job  # noqa: E402
from nin_spec.diagnostics import NinSpecError  # noqa: E402

Message = dict[str, Any]

WARM_RUNS = 2
_NANO = 1e9


class Worker:
    """What a worker keeps between messages. The methods below are what it can be asked."""

    def __init__(self) -> None:
        self.runner: Any = None
        self.call: Callable[[], Any] | None = None

    def open(self, job: Message) -> Message:
        """Open a job's contender; `seconds` counts from the start of this process, imports included."""
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
        """Take a batch, compute it once, save the scores, and warm up for so long.

        `first` is the first run, with all that is compiled or searched in it, `usual` the last one.
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

    def lap(self, seconds: float) -> Message:
        """Run for so long, once at least after a run that doesn't count, and tell each run's time in ns."""
        if self.call is None:
            raise RuntimeError("a lap before a batch")
        with self.runner.around():
            self.call()  # the caches still hold what the last contender used
            found = timed(self.call, seconds, 1)
        self.runner.rest()
        return {"laps": found}


def timed(call: Callable[[], Any], seconds: float, least: int) -> list[int]:
    """The times of runs in ns, until so many seconds are over and so many runs done."""
    laps: list[int] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter_ns() + int(seconds * _NANO)
        while True:
            begin = time.perf_counter_ns()
            call()
            after = time.perf_counter_ns()
            laps.append(after - begin)
            if after >= end and len(laps) >= least:
                return laps
    finally:
        gc.enable()


def answer(worker: Worker, message: Message) -> Message:
    """What a message asks for, done; or the diagnostics of what can't be."""
    deeds: dict[str, Callable[..., Message]] = {
        "open": worker.open,
        "prepare": worker.prepare,
        "ready": worker.ready,
        "lap": worker.lap,
    }
    deed = deeds[message.pop("do")]
    try:
        return deed(**message)
    except NinSpecError as error:
        found = [[d.code.name, d.message, d.hint] for d in error.diagnostics]
        return {"refused": type(error).__name__, "diagnostics": found}


def main() -> None:
    """Answer until there is no more to answer."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    before = time.process_time()
    for line in sys.stdin:
        idle = time.process_time() - before
        reply = answer(worker, json.loads(line))
        print(json.dumps(reply | {"idle": idle}), file=answers, flush=True)
        before = time.process_time()


if __name__ == "__main__":
    main()
