"""Runs the rows, each in a process of its own with a time limit: one that raises, hangs or dies costs itself alone."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gpu.rows import Ask, Row

Status = Literal["done", "missed", "failed", "skipped"]
_TAIL = 12
_MARGIN = 4.0
"""Seconds before its limit at which a row should stop by itself, to report what it has."""
_GRACE = 10.0
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux's prctl(2)."""


@dataclass(frozen=True)
class Outcome:
    """What became of a row: done, missed (something that it checked does not hold), failed or skipped, and why.

    `found` is what it reported, `log` the end of its standard error.
    """

    row: Row
    status: Status
    reason: str = ""
    seconds: float = 0.0
    found: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        row = {"name": self.row.name, "title": self.row.title, "limit_seconds": self.row.seconds}
        ended = {"status": self.status, "reason": self.reason, "seconds": round(self.seconds, 1)}
        return {**row, **ended, **self.found, "log": self.log}


Done = Callable[[Sequence[Outcome]], None]
"""Called after each row with all outcomes so far."""


@dataclass
class Certification:
    """One run of rows until the clock reads `end`. `environment` is that of their processes."""

    ask: Ask
    end: float
    environment: Mapping[str, str]
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, rows: Sequence[Row], done: Done) -> None:
        """Run each row that can be run."""
        adopt_orphans()
        for row in rows:
            print(f"{row.name}: {row.title}", file=sys.stderr, flush=True)
            outcome = self._outcome(row)
            self.outcomes.append(outcome)
            why = f": {outcome.reason}" if outcome.reason else ""
            print(f"  {outcome.status}, {outcome.seconds:.1f} s{why}", file=sys.stderr, flush=True)
            done(self.outcomes)

    def _outcome(self, row: Row) -> Outcome:
        left = self.end - time.monotonic()
        if reason := self._hindrance(row):
            return Outcome(row, "skipped", reason)
        if left < row.least:
            return Outcome(row, "skipped", f"no time left: {max(left, 0):.0f} s, and it is not begun with less than "
                                           f"{row.least:.0f} s")  # fmt: skip
        limit = min(row.seconds, left)
        ask = replace(self.ask, seconds=max(limit - _MARGIN, limit / 2))
        return run_row(row, ask, limit, self.environment)

    def _hindrance(self, row: Row) -> str:
        """Why a row can't be run on this machine, by the report of the row `doctor`; without one it is tried."""
        doctor = next((o.found for o in self.outcomes if o.row.name == "doctor"), {})
        hindrances: dict[str, str] = doctor.get("figures", {}).get("hindrances", {})
        return hindrances.get(row.needs, "")


def run_row(row: Row, ask: Ask, limit: float, environment: Mapping[str, str]) -> Outcome:
    """Run a row in its process, and end whatever it leaves running."""
    folder = Path(ask.folder)
    folder.mkdir(parents=True, exist_ok=True)
    result, log = (folder / f"{row.name}.{suffix}" for suffix in ("json", "log"))
    result.unlink(missing_ok=True)
    command = (sys.executable, "-P", "-X", "faulthandler", "-m", "gpu.child", row.call)
    given = (json.dumps(asdict(ask)), json.dumps(dict(row.arguments)), str(result))
    begun = time.monotonic()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            (*command, *given),
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_all(process)
    seconds = time.monotonic() - begun
    said = log.read_text(errors="replace").strip().splitlines()[-_TAIL:]
    status, reason = judged(code, limit, read(result), said)
    return Outcome(row, status, reason, seconds, read(result), "" if status == "done" else "\n".join(said))


def read(path: Path) -> dict[str, Any]:
    """What a row has reported, empty if nothing."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def judged(code: int | None, limit: float, found: Mapping[str, Any], said: Sequence[str]) -> tuple[Status, str]:
    """The status and its reason, by how the process ended (None: it had to be stopped) and what it reported."""
    if code is None:
        return "failed", f"it did not end within {limit:.0f} s, and was stopped"
    if code < 0:
        return "failed", f"it was killed by {signal.Signals(-code).name}"
    if code:
        return "failed", said[-1] if said else f"it exited with status {code}"
    if found.get("skipped"):
        return "skipped", str(found["skipped"])
    missed = [check for check in found.get("checks", ()) if not check["holds"]]
    if missed:
        return "missed", "; ".join(f"{check['what']}: {check['why']}" for check in missed)
    return "done", ""


# ------------------------------------------------------------------ processes


def adopt_orphans() -> None:
    """On Linux, become the parent of processes whose own parent ends: workers have sessions of their own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def end_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a row's process group, then all that it has started, and wait for them a while."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    end = time.monotonic() + _GRACE
    with contextlib.suppress(subprocess.TimeoutExpired):  # a process inside the driver may not end
        process.wait(_GRACE)
    while (left := list(descendants(os.getpid()))) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and theirs; none where the system has no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # pid (name) state parent ...; the name may hold spaces and parentheses.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    waiting = [pid]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found
