"""Rows that go wrong, for the tests: `python -m gpu.odd OUT` runs them all, and writes the two pages."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu import page, wheels
from gpu.certify import Certification
from gpu.found import Found
from gpu.rows import Ask, Row

_SLEEP = "import time; time.sleep(600)"


def works(_: Ask, found: Found) -> None:
    """All that a row may report."""
    found.figures["answer"] = 42
    found.table("Answers", ("what", "n"), [("one | two", 42)])
    found.check("it holds")
    found.remarks.append("A remark.")


def misses(_: Ask, found: Found) -> None:
    """Something does not hold."""
    found.check("it holds")
    found.check("the sky is green", "it is blue")


def raises(_: Ask, found: Found) -> None:
    """An error after a figure."""
    found.figures["before"] = 1
    raise ValueError("a typo")


def refuses(_: Ask, found: Found) -> None:
    """nin-spec's own error, with what to do."""
    from nin_spec.runtime.session import open_session

    open_session(found.path.with_name("no such file.onnx"), "cpu")


def lacks(_: Ask, __: Found) -> None:
    """A package that is not installed."""
    importlib.import_module("no_such_package.part")


def misspells(_: Ask, __: Found) -> None:
    """A module of this repository that does not exist, which is not a missing package."""
    importlib.import_module("nin_spec.no_such_module")


def lacks_an_extra(_: Ask, __: Found) -> None:
    """The same, as nin-spec says it."""
    from nin_spec.extras import require

    require("no_such_package", purpose="this", extra="bench")


def dies(_: Ask, __: Found) -> None:
    """As a crash inside a library does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(_: Ask, found: Found) -> None:
    """Forever, after a figure, with a process in a session of its own, as a worker is."""
    worker = subprocess.Popen([sys.executable, "-c", _SLEEP], start_new_session=True)
    found.figures["worker"] = worker.pid
    found.keep()
    time.sleep(600)


def leaves(_: Ask, found: Found) -> None:
    """It ends, and a process that it has started doesn't."""
    hidden = [sys.executable, "-c", _SLEEP]
    found.figures["worker"] = subprocess.Popen(hidden, start_new_session=True).pid


DEEDS = (works, misses, raises, refuses, lacks, misspells, lacks_an_extra, dies, hangs, leaves, works)
ROWS = tuple(
    Row(f"{k}-{deed.__name__}", f"a row that {deed.__name__}", f"odd:{deed.__name__}", 3 if deed is hangs else 60)
    for k, deed in enumerate(DEEDS)
)


def main() -> None:
    """Run them."""
    out = Path(sys.argv[1])
    ask = Ask("cpu", quick=True, folder=str(out / "gpu"))
    certification = Certification(ask, time.monotonic() + 600, wheels.environment(out / "gpu" / "site"))
    certification.run(ROWS, lambda outcomes: page.write(out, page.record(ask, ROWS, outcomes, (), 1.0)))


if __name__ == "__main__":
    main()
