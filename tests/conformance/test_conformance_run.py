"""Runs against stand-ins: what is wrong is found, a refusal is reported, and a crash or a hang costs one case."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nin_spec import children
from nin_spec.conformance.place import Place
from nin_spec.conformance.run import Run
from nin_spec.conformance.suite import suite
from nin_spec.conformance.verdict import Outcome, Verdict
from nin_spec.diagnostics import DeviceError

STAND_IN = Path(__file__).with_name("stand_in.py")
HERE = Place("cpu", {}, 1)
OPS = ("shuffle", "activation relu", "activation maxout", "pool avg")
CASES = suite()


def stand_in(folder: Path, fault: str, op: str = "shuffle") -> tuple[str, ...]:
    """The command of a device with a fault."""
    return children.python(str(STAND_IN), fault, op, str(folder / "log"))


def verdicts(folder: Path, fault: str, op: str = "shuffle", patience: float = 120) -> dict[str, list[Verdict]]:
    """The verdicts on some cases by op, in their order: the first few of each."""
    cases = [case for name in OPS for case in [case for case in CASES if case.op == name][:2]]
    found: dict[str, Verdict] = {}
    with Run(HERE, 1, patience, stand_in(folder, fault, op)) as run:
        facts, precisions = run.facts()
        assert facts["provider"] == "CPUExecutionProvider"
        assert precisions == ["float32", "int8"]
        run.prove(cases, lambda case, verdict: found.update({case.id: verdict}))
    return {name: [found[case.id] for case in cases if case.op == name] for name in OPS}


def outcomes(found: dict[str, list[Verdict]]) -> dict[str, set[Outcome]]:
    """How the cases of each op came out."""
    return {name: {verdict.outcome for verdict in verdicts} for name, verdicts in found.items()}


EXACT = {name: {Outcome.EXACT} for name in OPS}


def test_what_is_computed_right_is_exact(tmp_path: Path) -> None:
    """With the largest difference that was measured."""
    found = verdicts(tmp_path, "none")
    assert outcomes(found) == EXACT
    assert all(0 <= (verdict.difference or 0) < 1e-5 for each in found.values() for verdict in each)


def test_a_wrong_kernel_is_found(tmp_path: Path) -> None:
    """An average that counts padding although its spec does not: wrong where there is padding, and by how much."""
    every = [case for case in CASES if case.op == "pool avg" and "count_include_pad: false" in case.about]
    found: dict[str, Verdict] = {}
    with Run(HERE, 1, 120, stand_in(tmp_path, "counts padding", "pool avg")) as run:
        run.facts()
        run.prove(every, lambda case, verdict: found.update({case.id: verdict}))
    wrong = [verdict for verdict in found.values() if verdict.outcome is Outcome.WRONG]
    assert len(wrong) > len(every) / 4  # others are written without padding, which this fault does not change
    assert all(verdict.difference is not None and verdict.difference > 1e-3 for verdict in wrong)
    assert any("first at blocks.0.pool" in verdict.reason for verdict in wrong)


def test_a_refusal_is_not_wrong(tmp_path: Path) -> None:
    """It has the device's reason."""
    found = verdicts(tmp_path, "refuses")
    assert outcomes(found) == {**EXACT, "shuffle": {Outcome.REFUSED}}
    assert {verdict.reason for verdict in found["shuffle"]} == {"the stand-in has no kernel for it"}


def test_a_crash_costs_one_case(tmp_path: Path) -> None:
    """It is tried twice, in two processes; what comes after it is proved in another."""
    found = verdicts(tmp_path, "crashes", "activation relu")
    assert outcomes(found) == {**EXACT, "activation relu": {Outcome.WRONG}}
    assert all("killed by SIGSEGV" in verdict.reason for verdict in found["activation relu"])
    assert len((tmp_path / "log").read_text().splitlines()) == sum(map(len, found.values())) + 2


def test_a_crash_that_does_not_come_again_is_wrong(tmp_path: Path) -> None:
    """With the remark that the case alone is computed: what ran before it is suspect, too."""
    found = verdicts(tmp_path, "crashes once", "activation relu")
    first, *others = found["activation relu"]
    assert first.outcome is Outcome.WRONG
    assert "killed by SIGABRT" in first.reason
    assert "alone it is exact" in first.reason
    assert {verdict.outcome for verdict in others} == {Outcome.EXACT}


def test_a_case_without_end_is_stopped(tmp_path: Path) -> None:
    """And wrong."""
    case = next(case for case in CASES if case.op == "shuffle")
    found: list[Verdict] = []
    with Run(HERE, 1, 1.5, stand_in(tmp_path, "hangs")) as run:
        run.facts()
        run.prove([case], lambda _, verdict: found.append(verdict))
    (verdict,) = found
    assert verdict.outcome is Outcome.WRONG
    assert "no response within 1.5 s" in verdict.reason


def test_a_device_that_can_not_be_opened_is_an_error(tmp_path: Path) -> None:
    """Whether it says so or crashes."""
    with Run(HERE, 2, 120, stand_in(tmp_path, "has no device")) as run, pytest.raises(DeviceError, match="SIGABRT"):
        run.facts()
    with (
        Run(Place("cuda", {}, 1)) as run,
        pytest.raises(DeviceError, match=r"cuda \(CUDAExecutionProvider\) can't run"),
    ):
        run.facts()


def test_the_workers_end_with_the_run(tmp_path: Path) -> None:
    """Also those that are in the middle of a case."""
    with Run(HERE, 2, 120, stand_in(tmp_path, "hangs")) as run:
        run.facts()
        run._todo.put(next(case for case in CASES if case.op == "shuffle"))
        while not (tmp_path / "log").exists():
            time.sleep(0.01)
        processes = [lane.worker.process for lane in run._lanes if lane.worker is not None]
    assert processes
    assert all(process.returncode is not None for process in processes)
