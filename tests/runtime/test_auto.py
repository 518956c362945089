"""What "auto" uses, and what it says of the others. Devices here are made up, and so are their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime import auto
from nin_spec.runtime.auto import Trial, choose, measure
from nin_spec.runtime.providers import Provider
from nin_spec.runtime.tolerances import relative_difference

X = np.ones((1, 3), np.float32)
SLOW = Provider("slow", "S", not_auto="is used only if named")
CPU, ONE, TWO = (Provider(name, name.upper()) for name in ("cpu", "one", "two"))
LAST = Provider("last", "L", behind="is used only for what cpu can't compute")


@dataclass
class Opened:
    """A session on a made-up device."""

    device: str
    precision: str
    provider: str = "P"
    scores: float = 1.0
    calls: list[int] = field(default_factory=list)

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        self.calls.append(len(x))
        return np.asarray(x * np.float32(self.scores))


def opener(*refusing: str, precision: str = "float32", scores: dict[str, float] | None = None) -> Callable[..., Opened]:
    """Opens on every device but some; the CPU has float32 only."""

    def open_on(row: Provider, asked: str | None) -> Opened:
        wanted = asked or precision
        if row.device in refusing or (row.device == "cpu" and wanted == "bfloat16"):
            raise DeviceError(Code.DEVICE_UNAVAILABLE, f"{row.device} can't; details")
        return Opened(row.device, wanted, scores=(scores or {}).get(row.device, 1.0))

    return open_on


def timed(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Candidates take these times, and the CPU a second."""

    def trials(runs: Any, exact: Any, x: Any) -> Any:
        apart = {name: relative_difference(run(x), exact(x)) for name, run in runs.items()}
        return {name: Trial(seconds[name], apart[name]) for name in runs}, 1.0

    monkeypatch.setattr(auto, "measure", trials)


def noise(_session: Opened) -> NDArray[Any]:
    return X


def test_in_float32_the_first_that_works_is_taken_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the rows; one behind the CPU is not opened at all, however fast it may be."""
    monkeypatch.setattr(auto, "measure", lambda *_: pytest.fail("measured"))
    found = choose([ONE, SLOW, CPU, LAST], opener("one"), noise)
    assert found.session.device == "cpu"
    assert found.choice == (
        "cpu, the best that works here; one can't; slow is used only if named; "
        "last is used only for what cpu can't compute"
    )


def test_in_bfloat16_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that have it, in any order; what it takes of the CPU's time is said of each."""
    timed(monkeypatch, one=0.8, last=0.5)
    found = choose([ONE, SLOW, CPU, LAST], opener(precision="bfloat16"), noise)
    assert found.session.device == "last"
    assert found.choice == (
        "last, the best that works here in bfloat16 (it takes 0.50 of cpu's time in float32, and is 0.0e+00 of the "
        "largest score off); one takes 0.80 of cpu's time in float32; cpu can't; slow is used only if named"
    )


def test_one_that_is_off_is_passed_over_however_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the tolerance of the precision, and said so; alone it is refused."""
    timed(monkeypatch, one=0.1, two=0.9)
    found = choose([ONE, CPU, TWO], opener(precision="bfloat16", scores={"one": 1.2}), noise)
    assert found.session.device == "two"
    assert "one is 2.0e-01 of the largest score off in bfloat16, allowed 0.05" in found.choice
    with pytest.raises(DeviceError, match=r"no device works here: cpu can't; one is 2\.0e-01 of the largest"):
        choose([ONE, CPU], opener(precision="bfloat16", scores={"one": 1.2}), noise)


def test_scores_that_are_not_finite_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN is within no tolerance."""
    timed(monkeypatch, one=0.1)
    with pytest.raises(DeviceError, match="off in bfloat16"):
        choose([ONE, CPU], opener(precision="bfloat16", scores={"one": float("nan")}), noise)


def test_one_that_gains_nothing_is_used_as_asked_and_said_to_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A precision is the user's word: it is not replaced, and the user learns that it is not worth it."""
    timed(monkeypatch, last=1.8)
    found = choose([CPU, LAST], opener(precision="bfloat16"), noise)
    assert (found.session.device, found.session.precision) == ("last", "bfloat16")
    assert "1.80 of cpu's time in float32" in found.choice
    assert "float32 on cpu is faster" in found.choice


def test_without_anything_to_compare_with_the_first_is_taken() -> None:
    """The CPU provider may have no kernel for a file that a device can run."""
    found = choose([ONE, CPU], opener("cpu", precision="bfloat16"), noise)
    assert found.session.device == "one"
    assert "not compared, as cpu can't run the file in float32" in found.choice


def test_no_device_at_all_is_refused_with_every_reason() -> None:
    """And what to do."""
    with pytest.raises(DeviceError) as caught:
        choose([ONE, CPU], opener("one", "cpu"), noise)
    (found,) = caught.value.diagnostics
    assert found.message == "no device works here: one can't; cpu can't"
    assert found.hint
    assert "nin-spec doctor" in found.hint


def test_each_is_measured_on_the_same_batch_and_against_the_exact_scores() -> None:
    """The difference is that of its scores; each has run at least once in each turn, beside a first one."""
    near, exact = Opened("near", "bfloat16", scores=1.01), Opened("cpu", "float32")
    trials, least = measure({"near": near.run}, exact.run, X)
    assert trials["near"].apart == pytest.approx(0.01, rel=1e-3)
    assert 0 < trials["near"].seconds < 1
    assert 0 < least < 1
    assert min(len(near.calls), len(exact.calls)) > 2 * auto._TURNS
