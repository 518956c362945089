"""The device that "auto" uses: the first that passes every check; in bfloat16 the fastest within tolerance.

Bfloat16 is for speed, and rounds to 8 bits: so what a device makes of it is measured, beside the CPU provider in
float32, on noise, for a fraction of a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.runtime.providers import Provider
from nin_spec.runtime.tolerances import Array, relative_difference, tolerance_of

MEASURED = "bfloat16"
"""The precision in which devices are compared."""
_TURNS, _SECONDS, _SETTLE = 3, 0.03, 0.005
"""Turns, the seconds of one, and those before it, in which the threads of the last one stop spinning."""


class Candidate(Protocol):
    """What is asked of a session."""

    @property
    def device(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def run(self, x: NDArray[Any]) -> Array: ...


S = TypeVar("S", bound=Candidate)
Open = Callable[[Provider, str | None], S]
"""Opens the file on a device, in a precision if it is not the requested one."""
Noise = Callable[[S], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate's least time in seconds, and its largest difference from float32."""

    seconds: float
    apart: float


@dataclass(frozen=True, slots=True)
class Chosen(Generic[S]):
    """The session, and why it was chosen and not the others."""

    session: S
    choice: str


def choose(rows: Sequence[Provider], open_on: Open[S], noise: Noise[S]) -> Chosen[S]:
    """Open the file on the best device of `rows`, in their order. Raises DeviceError if no device works."""
    refused: list[str] = []
    passed: list[S] = []
    tried = [row for row in rows if not row.not_auto]
    for row in tried:
        try:
            session = open_on(row, None)
        except DeviceError as error:
            refused.append(error.diagnostics[0].message.partition(";")[0])
            continue
        if session.precision != MEASURED:
            return Chosen(session, _in_order(row, rows, refused))
        passed.append(session)
    left = [f"{row.device} {row.not_auto}" for row in rows if row.not_auto]
    if passed:
        return _fastest(passed, rows, open_on, noise, [*refused, *left])
    raise _none(refused)


def _none(refused: Sequence[str]) -> DeviceError:
    hint = "run `nin-spec doctor` to see which devices work, then pass --device and --precision"
    return DeviceError(Code.DEVICE_UNAVAILABLE, f"no device works here: {'; '.join(refused)}", hint=hint)


def _in_order(row: Provider, rows: Sequence[Provider], refused: Sequence[str]) -> str:
    after = rows[rows.index(row) + 1 :]
    left = [f"{r.device} {r.not_auto or r.behind}" for r in rows if r.not_auto or (r in after and r.behind)]
    return "; ".join((f"{row.device}, the best that works here", *refused, *left))


# ------------------------------------------------------------------ measured


def _fastest(
    passed: Sequence[S], rows: Sequence[Provider], open_on: Open[S], noise: Noise[S], others: Sequence[str]
) -> Chosen[S]:
    """The fastest within tolerance; the first, unmeasured, where the CPU provider can't run the file to compare."""
    (cpu,) = (row for row in rows if row.device == "cpu")
    try:
        exact = open_on(cpu, "float32")
    except (DeviceError, InputError):
        why = "not compared, as cpu can't run the file in float32"
        return Chosen(passed[0], "; ".join((f"{passed[0].device}, which works here, {why}", *others)))
    trials, least = measure({s.device: s.run for s in passed}, exact.run, noise(exact))
    allowed = {s.device: tolerance_of(MEASURED, s.provider).allowed for s in passed}
    wrong = [
        f"{device} is {trial.apart:.1e} of the largest score off in {MEASURED}, allowed {allowed[device]:g}"
        for device, trial in trials.items()
        if not trial.apart <= allowed[device]
    ]
    kept = [s for s in passed if trials[s.device].apart <= allowed[s.device]]
    if not kept:
        raise _none([*others, *wrong])
    best = min(kept, key=lambda s: trials[s.device].seconds)
    slower = [f"{s.device} takes {_share(trials[s.device].seconds, least)}" for s in kept if s is not best]
    return Chosen(best, "; ".join((_praise(best.device, trials[best.device], least), *slower, *wrong, *others)))


def _praise(device: str, trial: Trial, least: float) -> str:
    speed = f"{_share(trial.seconds, least)}, and is {trial.apart:.1e} of the largest score off"
    slow = ": float32 on cpu is faster" if trial.seconds > least else ""
    return f"{device}, the best that works here in {MEASURED} (it takes {speed}{slow})"


def _share(seconds: float, least: float) -> str:
    return f"{seconds / least:.2f} of cpu's time in float32"


def measure(
    runs: Mapping[str, Callable[[NDArray[Any]], Array]], exact: Callable[[NDArray[Any]], Array], x: NDArray[Any]
) -> tuple[dict[str, Trial], float]:
    """Each candidate's trial on a batch, and the least time of the exact one. They take turns."""
    wanted = exact(x)
    apart = {name: relative_difference(run(x), wanted) for name, run in runs.items()}
    turns = [{name: _least(run, x) for name, run in runs.items()} | {"": _least(exact, x)} for _ in range(_TURNS)]
    least = {name: min(turn[name] for turn in turns) for name in turns[0]}
    return {name: Trial(least[name], apart[name]) for name in runs}, least[""]


def _least(run: Callable[[NDArray[Any]], Array], x: NDArray[Any]) -> float:
    """The least time of the runs of a turn."""
    time.sleep(_SETTLE)
    run(x)
    laps: list[float] = []
    end = time.perf_counter() + _SECONDS
    while not laps or time.perf_counter() < end:
        begin = time.perf_counter()
        run(x)
        laps.append(time.perf_counter() - begin)
    return min(laps)
