"""OpenVINO and MNN as contenders: real ones where they are installed, elsewhere stand-ins for the plumbing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_specs import QUICK, small_file, small_model
from small_models import content
from stand_ins import stand_in_mnn, stand_in_openvino

from nin_spec.bench.contenders import OURS, PEERS, Entry, Job
from nin_spec.bench.contest import Contest
from nin_spec.bench.runners import make_runner
from nin_spec.bench.subjects import BenchSubject, bench_file, bench_model
from nin_spec.diagnostics import InputError
from nin_spec.runtime.installation import version_of

OWN = Entry("nin-spec", OURS)
OPENVINO, MNN = (Entry(name, PEERS[name]) for name in ("openvino", "mnn"))
ONCE = replace(QUICK, turns=1, batches=(1, 3))


@pytest.fixture
def subject(tmp_path: Path) -> BenchSubject:
    """The small network with fresh weights."""
    return bench_model(small_model(tmp_path))


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Both, here and in workers; the file with the settings that OpenVINO got."""
    folder = tmp_path / "packages"
    stand_in_openvino(folder)
    stand_in_mnn(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", "")))))
    monkeypatch.setenv("SETTINGS", str(tmp_path / "settings.json"))
    yield tmp_path / "settings.json"
    for name in ("openvino", "MNN", "_tools"):
        sys.modules.pop(name, None)


def test_they_take_part_and_say_which_they_are(subject: BenchSubject, stand_ins: Path) -> None:
    """The same scores, the same threads, each batch size; their versions are in the record."""
    contest = Contest(subject, [OWN, OPENVINO, MNN], ONCE)
    contest.run()
    result = contest.result()
    assert not result.failures
    assert {(line.label, line.batch) for line in result.lines} == {
        (name, batch) for name in ("nin-spec", "openvino", "mnn") for batch in ONCE.batches
    }
    facts = {c.label: (c.facts["provider"], c.facts["precision"], c.facts["device"]) for c in result.contenders}
    assert facts["openvino"] == ("OpenVINO 0.1", "float32", "cpu")
    assert facts["mnn"] == ("MNN 0.2", "float32", "cpu")
    assert json.loads(stand_ins.read_text()) == {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": ONCE.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }


@pytest.mark.usefixtures("stand_ins")
def test_a_precision_without_hardware_is_refused_or_left_out(subject: BenchSubject) -> None:
    """OpenVINO would take the hint and compute in float32: as one of several it is left out, with the reason."""
    entry = replace(OPENVINO, label="openvino bfloat16", precision="bfloat16")
    with pytest.raises(InputError, match="OpenVINO can't compute in bfloat16 here; it has float32, int8"):
        Contest(subject, [OWN, entry], ONCE).run()
    contest = Contest(subject, [OWN, replace(entry, spare=True)], ONCE)
    contest.run()
    assert {line.label for line in contest.result().lines} == {"nin-spec"}
    assert contest.result().remarks[-1].startswith("openvino bfloat16 is left out: OpenVINO can't compute in bfloat16")


def test_one_that_is_not_installed_is_left_out_and_said_once(
    subject: BenchSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many precisions it was to run in: the others are measured."""
    monkeypatch.setattr("nin_spec.bench.contenders.version_of", lambda _package: None)
    twice = [replace(OPENVINO, label=f"openvino {p}", precision=p) for p in ("float32", "bfloat16")]
    contest = Contest(subject, [OWN, *twice, MNN], ONCE)
    contest.run()
    assert {line.label for line in contest.result().lines} == {"nin-spec"}
    told = [remark for remark in contest.result().remarks if "left out" in remark]
    assert told == ["mnn is left out: pip install MNN", "openvino is left out: pip install openvino"]
    assert not contest.result().failures


@pytest.mark.usefixtures("stand_ins")
def test_a_file_that_mnn_cannot_convert_is_refused(tmp_path: Path) -> None:
    """Its converter prints why, and returns."""
    (tmp_path / "packages" / "_tools.py").write_text("def mnnconvert(words): pass")
    with pytest.raises(InputError, match="MNN can't convert the file"):
        Contest(bench_file(small_file(tmp_path), "cpu"), [OWN, MNN], ONCE).run()


def test_what_is_faster_is_reported_with_how_much(subject: BenchSubject) -> None:
    """Of other runtimes alone, and not of a gain within the noise."""
    contest = Contest(subject, [OWN, Entry("bare", PEERS["bare"])], replace(ONCE, batches=(1,)))
    contest.run()
    turns = contest.measured.turns
    turns["nin-spec", 1] = [[1.0], [1.0]]
    for seconds, share in ((0.5, 0.5), (0.99, None), (2.0, None)):
        turns["bare", 1] = [[seconds], [seconds]]
        assert contest.result().faster() == ({"bare": {1: share}} if share else {})


# ------------------------------------------------------------------ the real ones


@pytest.mark.parametrize(("name", "package"), [("openvino", "openvino"), ("mnn", "MNN")])
def test_the_real_one_computes_the_same(subject: BenchSubject, name: str, package: str) -> None:
    """Held to the same tolerance as every contender."""
    if version_of(package) is None:
        pytest.skip(f"{package} is not installed")
    contest = Contest(subject, [OWN, Entry(name, PEERS[name])], ONCE)
    contest.run()
    assert not contest.result().failures
    assert {line.label for line in contest.result().lines} == {"nin-spec", name}


_OFFLINE = """
import sys
sys.addaudithook(lambda event, found: event in {"socket.connect", "os.system", "subprocess.Popen"} and 1 / 0)
import numpy as np
from nin_spec.bench.contenders import Job
from nin_spec.bench.runners import make_runner
runner = make_runner(Job(sys.argv[1], sys.argv[2], "cpu", 1))
print(runner.scores(runner.ready(np.ones((2, 1, 8, 8), np.float32))()).shape)
"""


@pytest.mark.parametrize(("name", "package"), [("openvino", "openvino"), ("mnn", "MNN")])
def test_the_real_one_reports_to_nobody(tmp_path: Path, name: str, package: str) -> None:
    """MNN's command of the same converter would run pip, and call a server."""
    if version_of(package) is None:
        pytest.skip(f"{package} is not installed")
    line = [sys.executable, "-c", _OFFLINE, name, str(small_file(tmp_path))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["(2, 4)"], done.stderr


def test_a_float16_file_is_given_float16(tmp_path: Path, stand_ins: Path) -> None:
    """And computed in float32 on a CPU without it, never in the bfloat16 that OpenVINO would take instead."""
    (tmp_path / "half.onnx").write_bytes(content(dtype=np.float16))
    runner = make_runner(Job("openvino", str(tmp_path / "half.onnx"), "cpu", 1))
    assert (runner.facts["dtype"], runner.facts["precision"]) == ("float16", "float16")
    scores = runner.scores(runner.ready(np.ones((2, 3, 8, 8), np.float32))())
    assert scores is not None
    assert scores.dtype == np.float16
    assert json.loads(stand_ins.read_text())["INFERENCE_PRECISION_HINT"] == "f32"
