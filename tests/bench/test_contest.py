"""Contests of real workers: what they measure, and what becomes of one that fails. No time is asserted."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import small_peak
from bench_specs import QUICK, small_file, small_model

from nin_spec import children
from nin_spec.bench.contenders import OURS, PEERS, Contender, Entry
from nin_spec.bench.contest import Contest
from nin_spec.bench.results import Result
from nin_spec.bench.subjects import BenchSubject, bench_file, bench_model
from nin_spec.diagnostics import Code, DeviceError, InputError

FILE = Contender("file", "another ONNX file", "session", "file")
OWN = Entry("nin-spec", OURS)
BARE = Entry("bare", PEERS["bare"])


@pytest.fixture
def subject(tmp_path: Path) -> BenchSubject:
    """The small network with fresh weights."""
    return bench_model(small_model(tmp_path))


def upset(contest: Contest, at: str, deed: Callable[[], None]) -> None:
    """Have something happen once, when the contest begins a certain step."""
    waiting = [deed]

    def progress(what: str, _: float | None) -> None:
        if at in what and waiting:
            waiting.pop()()

    contest.progress = progress


def hit(contest: Contest, label: str, number: signal.Signals) -> None:
    """Send a signal to a contender's process."""
    os.kill(contest._workers[label].process.pid, number)


def ran(result: Result) -> set[tuple[str, int]]:
    """Who was measured at which batch."""
    return {(line.label, line.batch) for line in result.lines}


def test_every_contender_is_measured_in_every_turn(subject: BenchSubject) -> None:
    """Ours, a bare session and PyTorch: a line for each at each batch, ratios of as many turns as there were."""
    contest = Contest(subject, [OWN, BARE, Entry("torch", PEERS["torch"], only=(3,))], QUICK)
    contest.run()
    result = contest.result()
    assert result.complete
    assert not result.failures
    assert ran(result) == {("nin-spec", 1), ("nin-spec", 3), ("bare", 1), ("bare", 3), ("torch", 3)}
    for line in result.lines:
        assert line.runs.count >= QUICK.turns
        assert line.gflops is not None
        assert line.gflops == pytest.approx(2 * (result.macs or 0) * line.images_per_second / 1e9)
        assert (line.ratio is None) == (line.label == "nin-spec")
        assert line.ratio is None or line.ratio.count == QUICK.turns
    assert result.macs == 8 * 8 * 8 * 9 + 8 * 8 * 4 * 8 + 4 * 4 * 4 * 4 * 9


NO_COMPILER = pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="no C++ compiler")


@pytest.mark.parametrize("name", ["torch-export", pytest.param("torch-compile", marks=[NO_COMPILER, pytest.mark.long])])
def test_the_peers_of_pytorch_compute_the_same(subject: BenchSubject, name: str) -> None:
    """What torch.onnx.export writes and what torch.compile makes pass the comparison, and are timed."""
    contest = Contest(subject, [OWN, Entry(name, PEERS[name])], replace(QUICK, batches=(2,), turns=1))
    contest.run()
    result = contest.result()
    assert not result.failures
    assert ran(result) == {("nin-spec", 2), (name, 2)}
    assert [c.torch for c in result.contenders] == [False, name == "torch-compile"]


def test_the_peak_is_measured_beside_them(subject: BenchSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same turns, named by its engine and shape; shares are of it. Here it is the best of small products."""
    monkeypatch.setattr("nin_spec.bench.process.COMMAND", children.python(small_peak.__file__))
    contest = Contest(subject, [OWN], replace(QUICK, batches=(1,), peaks=True))
    contest.run()
    result = contest.result()
    (peak,) = (c for c in result.contenders if c.is_peak)
    assert peak.label == "peak float32"
    assert peak.facts["operations"] == 2 * peak.facts["shape"][0] * peak.facts["shape"][1] * peak.facts["shape"][2]
    (line,) = result.lines
    assert line.share is not None
    assert line.share.count == QUICK.turns
    assert list(result.peaks) == ["peak float32"]


def test_one_that_computes_something_else_is_not_timed(subject: BenchSubject, tmp_path: Path) -> None:
    """It is reported with its difference; the others are measured."""
    other = small_file(tmp_path, "other.onnx", seed=7)
    contest = Contest(subject, [OWN, Entry("other", FILE, file=str(other)), BARE], QUICK)
    contest.run()
    result = contest.result()
    assert {(f.label, f.batch) for f in result.failures} == {("other", 1), ("other", 3)}
    assert all("scores differ from those of nin-spec" in f.reason for f in result.failures)
    assert {label for label, _ in ran(result)} == {"nin-spec", "bare"}


def test_the_same_weights_in_another_file_are_a_peer(subject: BenchSubject, tmp_path: Path) -> None:
    """As a file of another precision would be."""
    contest = Contest(subject, [OWN, Entry("copy", FILE, file=str(small_file(tmp_path)))], QUICK)
    contest.run()
    assert ("copy", 3) in ran(contest.result())


def test_one_that_dies_leaves_the_others(subject: BenchSubject) -> None:
    """Killed in its second turn, it keeps the first, and the rest continues to the end."""
    contest = Contest(subject, [OWN, BARE], QUICK)
    upset(contest, "turn 2 of 3: bare", lambda: hit(contest, "bare", signal.SIGKILL))
    contest.run()
    result = contest.result()
    (failure,) = result.failures
    assert (failure.label, failure.batch) == ("bare", 1)
    assert "SIGKILL" in failure.reason
    line = result.line("bare", 1)
    assert line is not None
    assert line.ratio is not None
    assert line.ratio.count == 1
    assert ("bare", 3) not in ran(result)
    assert ("nin-spec", 3) in ran(result)
    assert result.complete


def test_one_that_hangs_is_ended_and_leaves_the_others(subject: BenchSubject) -> None:
    """It is silent for longer than there is patience."""
    contest = Contest(subject, [OWN, BARE], QUICK)

    def freeze() -> None:
        hit(contest, "bare", signal.SIGSTOP)
        contest.settings = replace(contest.settings, patience=2)

    upset(contest, "turn 1 of 3: bare", freeze)
    contest.run()
    (failure,) = contest.result().failures
    assert failure.reason == "no response within 2 s; it was ended"
    assert ("nin-spec", 3) in ran(contest.result())


def test_ours_failing_leaves_nothing_to_compare_with(subject: BenchSubject) -> None:
    """The peers are measured, and no ratio is given for another pair."""
    contest = Contest(subject, [OWN, BARE, replace(BARE, label="again")], QUICK)
    upset(contest, "batch 1, getting ready: nin-spec", lambda: hit(contest, "nin-spec", signal.SIGKILL))
    contest.run()
    result = contest.result()
    assert {label for label, _ in ran(result)} == {"bare", "again"}
    assert [line.ratio for line in result.lines] == [None] * 4


def test_interrupted_it_keeps_what_it_has_and_ends_its_workers(subject: BenchSubject) -> None:
    """The first batch is whole, the second is not there; no process is left."""
    contest = Contest(subject, [OWN, BARE], QUICK)

    def interrupt() -> None:
        raise KeyboardInterrupt

    upset(contest, "batch 3, getting ready: bare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        contest.run()
    result = contest.result()
    assert not result.complete
    assert ran(result) == {("nin-spec", 1), ("bare", 1)}
    assert all(w.process.returncode is not None for w in contest._workers.values())


def test_a_device_that_cannot_run_here_is_an_error_at_once(subject: BenchSubject) -> None:
    """Asked for by name it is used or refused."""
    with pytest.raises(DeviceError):
        Contest(subject, [Entry("nin-spec", OURS, "abacus")], QUICK).run()


def test_a_file_without_a_spec_has_no_peers_in_pytorch(tmp_path: Path) -> None:
    """They are refused with the reason before anything starts; onnxruntime's peers are there."""
    import onnx

    path = small_file(tmp_path)
    proto = onnx.load(str(path))
    del proto.metadata_props[:]
    onnx.save(proto, str(path))
    subject = bench_file(path, "cpu")
    with pytest.raises(InputError) as caught:
        Contest(subject, [OWN, Entry("torch", PEERS["torch"])], QUICK).run()
    (found,) = caught.value.diagnostics
    assert found.code is Code.BENCH_CONTENDER
    assert "it has no embedded spec" in found.message
    contest = Contest(subject, [OWN, BARE], replace(QUICK, batches=(1,)))
    contest.run()
    assert [line.gflops for line in contest.result().lines] == [None, None], "its MACs are not known"


def test_a_file_of_one_batch_size_is_measured_at_that(tmp_path: Path) -> None:
    """Another one is refused, with the one that it takes."""
    subject = bench_model(small_model(tmp_path), batch=3)
    with pytest.raises(InputError, match="takes only batches of 3"):
        Contest(subject, [OWN], QUICK).run()
    contest = Contest(subject, [OWN, BARE], replace(QUICK, batches=(3,)))
    contest.run()
    assert ran(contest.result()) == {("nin-spec", 3), ("bare", 3)}


def test_what_a_contender_needs_is_looked_for_before_the_work(
    subject: BenchSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.compile without a compiler, torch.onnx.export without onnxscript: each says what to get."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler, but no-such-compiler is not on the path"):
        Contest(subject, [OWN, Entry("torch-compile", PEERS["torch-compile"])], QUICK).run()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(InputError) as caught:
        Contest(subject, [OWN, Entry("torch-export", PEERS["torch-export"])], QUICK).run()
    assert caught.value.diagnostics[0].code is Code.EXTRA_MISSING
    assert caught.value.diagnostics[0].hint == "pip install 'nin-spec[bench]'"
