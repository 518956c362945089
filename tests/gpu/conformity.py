"""Rows on what a device computes: every op of the language, int8, CUDA graphs, TensorRT's engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nin_spec
from gpu.found import Found
from gpu.rows import Ask
from nin_spec import children
from nin_spec.diagnostics import DeviceError, ParityError
from nin_spec.exporter import make
from nin_spec.model import Model
from nin_spec.runtime.options import CudaOptions
from nin_spec.runtime.parity import check_parity
from nin_spec.runtime.session import Session, open_session
from nin_spec.runtime.tolerances import relative_difference, tolerance_of

Array = NDArray[np.floating[Any]]
_FLOAT32, _FLOAT16 = (tolerance_of(name, "CUDAExecutionProvider").allowed for name in ("float32", "float16"))
_SECONDS_OF_A_CASE = 30
_LINGER = 9
"""Seconds that `prove` may take to end after Ctrl-C, within the row's own."""


def exported(spec: str) -> tuple[Model, bytes]:
    """A shipped network with fresh weights, and its ONNX file."""
    model = nin_spec.compile(spec).initialise(1)
    (data,) = make(model, "onnx", {}).files.values()
    return model, data


def noise(model: Model, batch: int, seed: int) -> NDArray[np.float32]:
    """Standard normal images (N, C, H, W)."""
    return np.random.default_rng(seed).standard_normal((batch, *model.graph.input.shape), dtype=np.float32)


# ------------------------------------------------------------------ nin-spec prove


def prove(ask: Ask, found: Found, *, precision: str, tf32: bool = False) -> None:
    """`nin-spec prove DEVICE` in a precision, until the time is up.

    With TF32 the factors of products have 10 bits, like float16's: they are judged by its tolerance. A precision that
    the device refuses is not a fault, and is reported.
    """
    kept = found.path.with_name(f"{found.path.stem}-verdicts.json")
    kept.unlink(missing_ok=True)
    only = "pool max" if ask.is_little else "conv" if tf32 else None
    command = [
        *children.python("-m", "nin_spec", "prove", ask.device, "--precision", precision, "-o", str(kept), "--quiet"),
        *("--timeout", str(_SECONDS_OF_A_CASE)),
        *(["--device-option", "use_tf32=true"] if tf32 else []),
        *(["--only", only] if only else []),
    ]
    code, said = interrupted_after(max(ask.seconds - _LINGER - 1, 5), command)
    if not kept.is_file():
        raise RuntimeError(f"nin-spec prove exited with status {code}: {said.strip()[-500:]}")
    data = json.loads(kept.read_text(encoding="utf-8"))
    rows, verdicts = data["rows"], [v for v in data["verdicts"].values() if v["precision"] == precision]
    found.figures |= {"totals": data["totals"], "rows": rows, "verdicts": len(verdicts), "complete": code in {0, 1}}
    counts = [
        [r["op"], r["exact"], r["refused"], r["wrong"], scientific(r["worst"])] for r in rows if _asked(r, precision)
    ]
    found.table(f"{len(verdicts)} cases by op", ("op", "exact", "refused", "wrong", "worst"), counts)
    if code not in {0, 1}:
        found.remarks.append(f"The time was up after {len(verdicts)} cases.")
    for row in rows:
        if _asked(row, precision) and row["smallest"]:
            found.remarks.append(f"{row['op']}: {row['smallest']['reason']}")
    found.check("there are verdicts", "" if verdicts else "none was reached in time")
    found.check(*judgement(verdicts, tf32=tf32))


def _asked(row: dict[str, Any], precision: str) -> bool:
    return bool(row["precision"] == precision)


def judgement(verdicts: Sequence[dict[str, Any]], *, tf32: bool) -> tuple[str, str]:
    """What must hold of verdicts, and why it doesn't."""
    wrong = [verdict for verdict in verdicts if verdict["outcome"] == "wrong"]
    if not tf32:
        return "no case is wrong", described(wrong)
    beyond = [v for v in wrong if v["difference"] is None or v["difference"] > _FLOAT16]
    return f"{len(wrong)} cases differ from float32, and none by more than {_FLOAT16:g}", described(beyond)


def described(verdicts: Sequence[dict[str, Any]]) -> str:
    """How many there are of each op, "" for none."""
    ops = [verdict["op"] for verdict in verdicts]
    return ", ".join(f"{ops.count(op)} of {op}" for op in dict.fromkeys(ops))


def interrupted_after(seconds: float, command: Sequence[str]) -> tuple[int, str]:
    """Run a command, with Ctrl-C after some seconds: its status and its standard error."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=children.environment()
    )
    try:
        said = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            said = process.communicate(timeout=_LINGER)[1]
        except subprocess.TimeoutExpired:  # inside the driver: what it has kept stands
            process.kill()
            said = process.communicate()[1]
    return process.returncode, said


def scientific(value: float | None) -> str:
    """`1.2e-07`."""
    return "" if value is None else f"{value:.1e}"


# ------------------------------------------------------------------ int8


def int8(ask: Ask, found: Found) -> None:
    """An int8 file: refused by CUDA with the reason, and computed on the CPU by `auto`.

    The stand-in has int8 convolutions, and must compute it.
    """
    data = quantised("nin_digits")
    scores = []
    for device in (ask.device, "auto"):
        try:
            session = open_session(data, device)
        except DeviceError as error:
            found.figures[device] = {"refused": error.diagnostics[0].message, "hint": error.diagnostics[0].hint}
            continue
        x = np.random.default_rng(2).standard_normal((4, *(n or 1 for n in session.input_shape[1:])), dtype=np.float32)
        scores.append(session.run(x))
        found.figures[device] = {"opened_on": session.device, "choice": session.choice}
    found.table("An int8 file", ("--device", "", ""), [(k, *map(str, v.values())) for k, v in found.figures.items()])
    own, auto = (found.figures[device] for device in (ask.device, "auto"))
    if ask.is_stand_in:
        found.check("the CPU computes it", own.get("refused", ""))
    else:
        said = str(own.get("refused", f"it was opened on {own.get('opened_on')}"))
        found.check(f"{ask.device} refuses it, because it can't compute in int8", "" if "int8" in said else said)
    chosen = auto.get("opened_on", auto.get("refused"))
    found.check("auto computes it on the CPU", "" if chosen == "cpu" else f"it uses {chosen}")
    found.check("its scores are finite", "" if scores and all(np.isfinite(s).all() for s in scores) else "they are not")


def quantised(spec: str) -> bytes:
    """An int8 file of a network with fresh weights, calibrated on noise."""
    from nin_spec.precision.calibration import calibrate
    from nin_spec.precision.int8 import quantise
    from nin_spec.precision.reduction import stamp

    model, data = exported(spec)
    name = open_session(data, "cpu", 1).input_name
    return stamp(quantise(data, calibrate(data, name, [noise(model, 64, 0)])), "int8")


# ------------------------------------------------------------------ CUDA graphs

BUCKETS = (1, 8, 64)
RUNS = (1, 8, 5, 64, 9, 70, 1, 8, 130)
"""Batches in turn: of each bucket, padded, split, and each bucket again after the others."""


class StandIn(CudaOptions):
    """The options of CUDA graphs with their buffers in host memory."""

    def buffers(self) -> tuple[str, int]:
        return "cpu", 0


def graphs(ask: Ask, found: Found) -> None:
    """Sessions with bound buffers beside one without: the same scores for every batch, also from another thread."""
    from concurrent.futures import ThreadPoolExecutor

    model, data = exported("nin_digits" if ask.is_little else "nin_cifar")
    plain = open_session(data, ask.device)
    begun = time.perf_counter()
    bound = with_graphs(ask, data)
    seconds = time.perf_counter() - begun
    batches = [noise(model, count, seed) for seed, count in enumerate(RUNS)]
    expected = [plain.run(x) for x in batches]
    here = [bound.run(x) for x in batches]
    with ThreadPoolExecutor(1) as pool:  # onnxruntime records for each thread again
        there = list(pool.map(bound.run, batches))
    rows = []
    for count, wanted, one, other in zip(RUNS, expected, here, there, strict=True):
        rows.append((count, relative_difference(one, wanted), relative_difference(other, wanted)))
    found.figures |= {"open_seconds": seconds, "sizes": BUCKETS, "differences": rows}
    found.table(
        f"Buffers for batches of {', '.join(map(str, BUCKETS))}, recorded in {seconds:.2f} s",
        ("batch", "difference", "in another thread"),
        [(count, scientific(one), scientific(other)) for count, one, other in rows],
    )
    wrong = [f"batch {count}: {max(pair):.1e}" for count, *pair in rows if not max(pair) <= _FLOAT32]
    found.check("the scores are those of a session without graphs", ", ".join(wrong))
    if not ask.is_stand_in:
        found.keep()
        parity(found, model, data, ask.device, {"enable_cuda_graph": True, "cuda_graph_batches": BUCKETS})


def with_graphs(ask: Ask, data: bytes) -> Session:
    """A session that replays recorded kernels."""
    options = {"enable_cuda_graph": True, "cuda_graph_batches": BUCKETS}
    if not ask.is_stand_in:
        return open_session(data, ask.device, options=options)
    from nin_spec.runtime import session as module

    return module._with_buckets(open_session(data, ask.device), StandIn.model_validate(options))


def parity(found: Found, model: Model, data: bytes, device: str, options: dict[str, object]) -> None:
    """The proof of an export on a device, as a figure and a check."""
    try:
        report = check_parity(model, data, device, options=options)
    except ParityError as error:
        found.check("parity with the nn.Module in float64", error.diagnostics[0].message)
        return
    found.figures["parity"] = report.as_dict()
    found.check("parity with the nn.Module in float64")
    found.remarks.append(f"{str(report)[:1].upper()}{str(report)[1:]}.")


# ------------------------------------------------------------------ TensorRT

_START = """\
import json, sys, time
begun = time.perf_counter()
from nin_spec.runtime.session import open_session
session = open_session(sys.argv[1], sys.argv[2], options=json.loads(sys.argv[3]))
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "placement": {k: len(v) for k, v in session.placement.items()},
                  "remarks": session.remarks, "device": session.device}))
"""


def engine(ask: Ask, found: Found, *, spec: str) -> None:
    """A first start, which builds an engine, and a second one, which must take it from the cache; then parity."""
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # the provider has no option for it
    model, data = exported("nin_digits" if ask.is_little else spec)
    file, cache = found.path.with_name(f"{spec}.onnx"), found.path.with_name(f"{spec}-engines")
    file.write_bytes(data)
    cache.mkdir(exist_ok=True)
    for old in cache.iterdir():
        old.unlink()
    device = "cpu" if ask.is_stand_in else "tensorrt"
    options: dict[str, object] = {} if ask.is_stand_in else {"engine_cache": str(cache)}
    starts, engines = [], []
    for _ in range(2):
        starts.append(started(file, device, options))
        engines.append({path.name: path.stat().st_mtime_ns for path in sorted(cache.glob("*.engine"))})
        found.figures |= {"starts": starts, "engines": [sorted(names) for names in engines]}
        found.keep()
    found.table(
        f"Start of {spec} in a new process, imports included",
        ("", "s", "engines"),
        [
            (which, f"{s['seconds']:.2f}", len(e))
            for which, s, e in zip(("first", "second"), starts, engines, strict=True)
        ],
    )
    if not ask.is_stand_in:
        found.check("the first start leaves an engine in the cache", "" if engines[0] else "it has none")
        found.check("the second start builds none", "" if engines[0] == engines[1] else "it wrote others")
    parity(found, model, data, device, options)


def started(file: Path, device: str, options: dict[str, object]) -> dict[str, Any]:
    """The start of a session in a new process. Raises RuntimeError with what it printed."""
    command = children.python("-c", _START, str(file), device, json.dumps(options))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=children.environment())
    if done.returncode:
        raise RuntimeError(f"{device} can't start: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
