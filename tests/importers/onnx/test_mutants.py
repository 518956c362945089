"""Nothing that an ONNX file can hold is a traceback, a hang or a hunger for memory: it imports, or is refused.

The whole: `python -m pytest -m long tests/importers/onnx/test_mutants.py`, 5,000 of structure and 5,000 of bytes; and
of 20,000 of structure those that are plain, each opened in one process, which none of them ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_models import graph_file

import nin_spec
from nin_spec.exporter import make

SECONDS, MEGABYTES = 20, 1024
SPECS = {
    "plain": "{channels: [4, classes], kernel: 3, pool: {kind: avg, kernel: 2, stride: 2, ceil_mode: true}}",
    "norms": "{channels: [6, classes], kernel: 3, norm: batch, activation: {kind: leaky_relu, slope: 0.2}}",
    "shuffled": "{convs: [8, {channels: classes, shuffle: 2, activation: mish}], kernel: 3}",
}


LOWERED = """
spec: 1
name: lowered
input: {channels: 3, size: 8}
classes: [a, b, c]
blocks:
  - {channels: [6, 8], kernel: 3, norm: {kind: lrn, size: 3, k: 1.5}}
  - {convs: [{channels: 8, shuffle: 4}, classes], kernel: 1}
head: {output: log_softmax}
"""


def written_for_devices(folder: Path) -> list[Path]:
    """Files that hold what is written for WebGPU and for OpenVINO instead of an operator of theirs."""
    model, found = nin_spec.compile(nin_spec.loads(LOWERED)).initialise(seed=0), []
    for opset in (17, 18):
        (data,) = make(model, "onnx", {"opset": opset, "lower_for": ("webgpu", "openvino")}).files.values()
        found.append(folder / f"lowered_{opset}.onnx")
        found[-1].write_bytes(data)
    return found


def seeds(folder: Path) -> list[Path]:
    """Files to damage: our own, with folded and unfolded norms, and graphs as other tools write them."""
    found = []
    for name, block in SPECS.items():
        text = f"spec: 1\nname: {name}\ninput: {{channels: 3, size: 8}}\nclasses: [a, b, c]\nblocks:\n  - {block}\n"
        model = nin_spec.compile(nin_spec.loads(text)).initialise(seed=0)
        for takes in ("normalised", "pixels"):
            (data,) = make(model, "onnx", {"takes": takes}).files.values()
            found.append(folder / f"{name}_{takes}.onnx")
            found[-1].write_bytes(data)
    found += written_for_devices(folder)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 3, 3, 3))
    nodes: list[Any] = [
        ("Conv", ["x", "w"], ["c"], {"pads": [1, 1, 1, 1]}),
        ("Shape", ["c"], ["s"], {}),
        ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
        ("Unsqueeze", ["n", "first"], ["n1"], {}),
        ("Concat", ["n1", "rest"], ["to"], {"axis": 0}),
        ("Sigmoid", ["c"], ["g"], {}),
        ("Mul", ["c", "g"], ["d"], {}),
        ("MaxPool", ["d"], ["m"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Reshape", ["m", "to"], ["f"], {}),
        ("Gemm", ["f", "dense"], ["y"], {"transB": 1}),
    ]
    constants = {
        "w": w,
        "zero": np.array(0),
        "first": np.array([0]),
        "rest": np.array([-1]),
        "dense": rng.standard_normal((5, 128)),
    }
    return [*found, graph_file(folder / "foreign.onnx", nodes, constants)]


def survey(folder: Path, kind: str, start: int, stop: int, script: str | None = None) -> dict[str, Any]:
    """What a process made of mutants `start` to `stop`, of the files in turn: see the scripts below."""
    files = [str(path) for path in seeds(folder)]
    numbers = map(str, (start, stop, SECONDS, MEGABYTES))
    command = [sys.executable, "-c", script or SCRIPT, str(Path(__file__).parent), kind, *numbers, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * 3600, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


SCRIPT = """
import json, resource, sys, time, traceback, warnings
from pathlib import Path
folder, kind, start, stop, seconds, megabytes, *files = sys.argv[1:]
seconds, megabytes = int(seconds), int(megabytes)
sys.path.insert(0, folder)
warnings.simplefilter("ignore")
import mutants
from nin_spec.diagnostics import NinSpecError
from nin_spec.importers.onnx.importing import import_onnx
make = {"bytes": mutants.damaged, "structure": mutants.mutated}[kind]
found = {"imported": 0, "refused": 0, "tracebacks": [], "slow": [], "large": [], "most": [0, 0]}
import_onnx(files[0])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for seed in range(int(start), int(stop)):
    path = Path("mutant.onnx")
    path.write_bytes(make(Path(files[seed % len(files)]).read_bytes(), seed))
    began = time.thread_time()
    try:
        import_onnx(path)
        found["imported"] += 1
    except NinSpecError:
        found["refused"] += 1
    except BaseException:
        found["tracebacks"].append((seed, traceback.format_exc()[-1500:]))
    taken = time.thread_time() - began
    if taken > seconds:
        found["slow"].append(seed)
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if now - peak > megabytes * 1024:
        found["large"].append(seed)
    found["most"] = [max(found["most"][0], taken), max(found["most"][1], (now - peak) >> 10)]
    peak = max(peak, now)
print(json.dumps(found))
"""


def judge(found: dict[str, Any], count: int) -> None:
    """No traceback, none over the time, none over the memory. What most took is printed: seconds, MiB."""
    sys.stdout.write(json.dumps(found))
    assert not found["tracebacks"], found["tracebacks"][:3]
    assert found["slow"] == []
    assert found["large"] == []
    assert found["imported"] + found["refused"] == count


@pytest.mark.parametrize("kind", ["structure", "bytes"])
def test_some_mutants_import_or_are_refused(kind: str, tmp_path: Path) -> None:
    found = survey(tmp_path, kind, 0, 120)
    judge(found, 120)
    assert found["refused"] > 20


@pytest.mark.long
@pytest.mark.parametrize("kind", ["structure", "bytes"])
def test_every_mutant_imports_or_is_refused(kind: str, tmp_path: Path) -> None:
    judge(survey(tmp_path, kind, 0, 5000), 5000)


# ------------------------------------------------------------------ opened, if plain: no other process tries those

OPENED = """
import json, sys, warnings
folder, _, start, stop, seconds, megabytes, *files = sys.argv[1:]
sys.path.insert(0, folder)
warnings.simplefilter("ignore")
import mutants
from pathlib import Path
from nin_spec.diagnostics import NinSpecError
from nin_spec.runtime import patience, session
from nin_spec.runtime.plain_files import is_plain
session.OPENING, session.MEMORY = float(seconds), int(megabytes) << 20
found = {"plain": 0, "opened": 0, "limited": []}
files = [data for data in map(Path.read_bytes, map(Path, files)) if is_plain(data)]
for seed in range(int(start), int(stop)):
    data = mutants.mutated(files[seed % len(files)], seed)
    if not is_plain(data):
        continue
    found["plain"] += 1
    print(seed, file=sys.stderr, flush=True)
    try:
        session.open_session(data, "cpu", 1)
        found["opened"] += 1
    except NinSpecError as error:
        if "takes more than" in str(error):
            found["limited"].append(seed)
print(json.dumps(found))
patience.leave(0)
"""


def test_some_plain_mutants_end_no_process(tmp_path: Path) -> None:
    found = survey(tmp_path, "structure", 0, 300, OPENED)
    assert found["plain"] > found["opened"] > 20


@pytest.mark.long
def test_every_plain_mutant_ends_no_process(tmp_path: Path) -> None:
    found = survey(tmp_path, "structure", 0, 20_000, OPENED)
    assert found["plain"] > 5000
