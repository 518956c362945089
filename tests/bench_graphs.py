"""Judge the exported graphs by the bars that were set for their speed, in one run: `make bench-graphs`.

Each shipped spec's file in nin-spec's session on the CPU provider, in turns with torch.onnx.export's file of the
same weights in the same onnxruntime, with torch.compile, with eager PyTorch, with a bare InferenceSession at
batch 1, with OpenVINO and MNN where they are installed, and with the machine's own matrix peak (nin_spec.bench).
nin_cifar is measured on the device openvino in bfloat16, too, where that runs, and judged where there is AMX; for
other CPUs see bench_openvino.py. Of specs that are one network one is measured. Exits 1 when a bar is missed or a
contender failed.

    python tests/bench_graphs.py [--specs a,b] [--batches 1,8] [--against openvino,mnn] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bars import Bar, geometric_mean, verdicts
from bench_kernels import same_kernels, unlike

from nin_spec.bench.contenders import OURS, PEERS, Contender, Entry, Job
from nin_spec.bench.figures import Spread
from nin_spec.diagnostics import NinSpecError, render

if TYPE_CHECKING:
    from nin_spec.bench.results import Result, Settings

AGAINST = ("torch-export", "torch-compile", "torch", "bare", "openvino", "mnn")
OTHERS = ("openvino", "mnn")
"""Runtimes that are measured where they are installed, without a bar."""
STARTS = 5
AMX, FAST_BFLOAT16, FAST_INT8 = ("amx_bf16",), ("amx_bf16", "avx512_bf16"), ("amx_int8", "avx512_vnni", "avx_vnni")
OPENVINO, INT8 = "nin-spec openvino bfloat16", "int8"
Found = Mapping[str, "Result"]
CHANGED = "the machine changed its speed"
FASTER_THAN_CAN_BE = 1.2
"""Of the peak, which is a matrix product's; a small network's layers may fit a cache better than it does."""


# ------------------------------------------------------------------ the bars


def bars(
    found: Found,
    starts: Mapping[str, Spread],
    lacking: Mapping[str, str],
    unjudged: str = "",
    against: Sequence[str] = AGAINST,
) -> list[Bar]:
    """Every bar that the specs in the run have a part in. `lacking` is what `lacks` says of this machine."""

    def mean(what: str, peer: str, sign: Literal["<=", "<"], value: float, names: Iterable[str]) -> Bar:
        own = [found[name] for name in names]
        ratios = [r for result in own for r in ratios_of(result, peer)]
        left_out = "" if peer in against else f"without --against {peer}"
        why = unjudged or left_out or (CHANGED if not ratios and any(map(unsteady, own)) else "")
        return Bar(what, sign, value, geometric_mean(ratios) if ratios else None, len(ratios), why)

    rounded = [name for name in found if rounds_up(name)]
    made = [mean("nin-spec / torch.onnx.export's graph", "torch-export", "<=", 1.00, found)]
    made += [mean(f"  {name}", "torch-export", "<=", 0.95, [name]) for name in rounded]
    made += [
        mean("nin-spec / torch.compile", "torch-compile", "<=", 0.85, found),
        mean("nin-spec / eager PyTorch", "torch", "<=", 0.60, found),
        mean("nin-spec / bare InferenceSession, batch 1", "bare", "<", 1.02, found),
    ]
    made += [
        Bar(f"start of a session on {device}, seconds", "<", 0.5, spread.median, spread.count, unjudged)
        for device, spread in starts.items()
    ]
    return [*made, *of_nin_cifar(found, lacking, unjudged)]


def of_nin_cifar(found: Found, lacking: Mapping[str, str], unjudged: str) -> list[Bar]:
    """Those of one network at one batch size."""
    if "nin_cifar" not in found:
        return []
    cifar, sizes = found["nin_cifar"], found["nin_cifar"].settings.batches
    first, last = (unjudged or (CHANGED if batch in unsteady(cifar) else "") for batch in (1, 64))
    made = []
    if 64 in sizes:
        share = "nin_cifar, batch 64: share of the float32 peak"
        made.append(Bar(share, ">=", 0.90, share_of(cifar, "nin-spec", 64), 1, last))
        share = "nin_cifar, batch 64, OpenVINO: share of the bfloat16 peak"
        made.append(Bar(share, ">=", 0.80, share_of(cifar, OPENVINO, 64), 1, last or lacking["amx"]))
        no_int8 = last or lacking["int8"] or ("" if gain(cifar, INT8, 64) else "no --int8 FILE")
        made.append(
            Bar("nin_cifar, batch 64: int8 / float32, throughput", ">=", 2.5, gain(cifar, INT8, 64), 1, no_int8)
        )
    if 1 in sizes:
        faster = gain(cifar, OPENVINO, 1)
        time = "nin_cifar, batch 1: OpenVINO in bfloat16 / CPU provider"
        made.append(Bar(time, "<", 0.25, 1 / faster if faster else None, 1, first or lacking["amx"]))
    return made


def lacks(features: Iterable[str], openvino: str) -> dict[str, str]:
    """Why a number format is not judged on this machine, "" where it is. `openvino` is what keeps that from running."""

    def without(wanted: Sequence[str]) -> str:
        return "" if set(features).intersection(wanted) else f"this CPU has none of {', '.join(wanted)}"

    return {
        "bfloat16": without(FAST_BFLOAT16) or openvino,
        "amx": without(AMX) or openvino,
        "int8": without(FAST_INT8),
    }


def no_openvino() -> str:
    """What keeps OpenVINO from running here, "" where nothing does."""
    from nin_spec.diagnostics import DeviceError
    from nin_spec.runtime.providers import explain

    try:
        return explain("openvino").reason
    except DeviceError as error:
        return error.diagnostics[0].message


def unsteady(result: Result) -> list[int]:
    """Batch sizes at which we beat the machine's own peak by far: it changed its speed between two turns."""
    shares = {batch: share_of(result, "nin-spec", batch) or 0 for batch in result.settings.batches}
    return [batch for batch, share in shares.items() if share > FASTER_THAN_CAN_BE]


def ratios_of(result: Result, peer: str) -> list[float]:
    """Our time over a peer's, at each batch size at which the machine kept its speed."""
    lines = (line for line in result.lines if line.label == peer and line.batch not in unsteady(result))
    return [line.ratio.median for line in lines if line.ratio]


def share_of(result: Result, label: str, batch: int) -> float | None:
    """The share of the peak."""
    line = result.line(label, batch)
    return line.share.median if line and line.share else None


def gain(result: Result, label: str, batch: int) -> float | None:
    """How many times as fast as nin-spec on the CPU provider in float32."""
    line = result.line(label, batch)
    return line.ratio.median if line and line.ratio else None


def rounds_up(spec: str) -> bool:
    """Whether a spec has an average pool in ceil mode, or is nin_cifar."""
    import nin_spec
    from nin_spec.ir import ops

    pools = [node.op for node in nin_spec.compile(spec).graph if isinstance(node.op, ops.AvgPool2d)]
    return spec == "nin_cifar" or any(pool.ceil_mode for pool in pools)


# ------------------------------------------------------------------ the run


def distinct(specs: Sequence[str]) -> tuple[list[str], list[str]]:
    """The specs to measure, and those that are left out for being the same network as one of them."""
    import nin_spec

    first: dict[tuple[str, tuple[int, ...]], str] = {}
    for name in specs:
        network = nin_spec.compile(name)
        first.setdefault((network.hash, network.graph.input.shape), name)
    kept = list(first.values())
    return kept, [name for name in specs if name not in kept]


def entries(spec: str, lacking: Mapping[str, str], int8: str | None, against: Sequence[str] = AGAINST) -> list[Entry]:
    """Who takes part: for nin_cifar the other devices and precisions too, where they are judged."""
    made = [Entry("nin-spec", OURS)]
    made += [Entry(name, PEERS[name], only=(1,) if name == "bare" else ()) for name in against]
    if spec == "nin_cifar" and not lacking["bfloat16"]:
        made.append(Entry(OPENVINO, OURS, "openvino", "bfloat16"))
    if spec == "nin_cifar" and int8:
        made.append(Entry(INT8, Contender("file", "an int8 file", "session", "file"), file=int8))
    return made


def measure(
    specs: Sequence[str],
    settings: Settings,
    facts: dict[str, Any],
    lacking: Mapping[str, str],
    *,
    given: argparse.Namespace,
    found: dict[str, Result],
    kernels: dict[str, str],
) -> None:
    """Each spec's contest, noted in `found` as soon as it is done, or stopped, and then in `kernels` what is unlike."""
    import nin_spec
    from nin_spec.bench.contest import Contest
    from nin_spec.bench.subjects import bench_model

    for number, spec in enumerate(specs, 1):
        tell = reporter(f"{number} of {len(specs)}, {spec}: ")
        network = nin_spec.compile(spec)
        trained = given.weights if spec == "nin_cifar" else None
        subject = bench_model(network.with_weights(trained) if trained else network.initialise())
        contest = Contest(subject, entries(spec, lacking, given.int8, given.against), settings, tell, facts)
        try:
            contest.run()
        finally:
            found[spec] = contest.result()
        if "torch-export" in given.against:
            kernels[spec] = unlike(subject, given.threads)


def reporter(head: str) -> Callable[[str, float | None], None]:
    """A line on standard error for each step."""

    def tell(what: str, left: float | None) -> None:
        more = "" if left is None else f"; {left:.0f} s left of this spec"
        print(f"{head}{what}{more}", file=sys.stderr, flush=True)

    return tell


def start_times(threads: int, count: int) -> dict[str, Spread]:
    """Seconds to open a session of nin_cifar in a fresh process without torch, imports and discovery included."""
    import nin_spec
    from nin_spec.bench.figures import spread_of
    from nin_spec.bench.process import start
    from nin_spec.bench.subjects import bench_model

    found: dict[str, list[float]] = {"auto": [], "cpu": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_model(nin_spec.compile("nin_cifar").initialise()).lay_out(folder, ())
        for turn in range(count + 1):  # the first finds the disk cold, and doesn't count
            for device, times in found.items():
                job = Job("session", str(folder / "model.onnx"), device, threads)
                with start(folder / f"{device}-{turn}", threads) as worker:
                    answer = worker.ask("open", 600, job=job.as_dict())
                if answer["torch"]:
                    raise SystemExit(f"opening a session on {device} loads torch")
                times.extend([answer["seconds"]] if turn else [])
    return {device: spread_of(times) for device, times in found.items()}


# ------------------------------------------------------------------ what came of it

HEADERS = (
    *("spec", "batch", "ms", "images/s", "GFLOP/s", "peak"),
    *("/export", "/compile", "/eager", "/bare", "/openvino", "/mnn"),
)


def table(found: Found) -> list[str]:
    """A line for each spec and batch: ours, then our time over each peer's, the median of the turns."""
    from nin_spec.printing import columns

    rows: list[Sequence[str]] = [HEADERS]
    for name, result in found.items():
        for line in (each for each in result.lines if each.label == "nin-spec"):
            peers = [result.line(peer, line.batch) for peer in AGAINST]
            ratios = ["" if not p or not p.ratio else f"{p.ratio.median:.3f}" for p in peers]
            share = "" if line.share is None else f"{line.share.median:.0%}"
            speed = f"{line.gflops:,.1f}" if line.gflops else ""
            ours = (f"{line.runs.median * 1e3:.3f}", f"{line.images_per_second:,.1f}", speed, share)
            rows.append((name, str(line.batch), *ours, *ratios))
    return columns(rows, right=range(1, len(HEADERS)))


def others(found: Found) -> list[str]:
    """What nin-spec's time is of that of each other runtime, and for which networks these are faster."""
    lines = []
    for peer in OTHERS:
        ratios = [r for result in found.values() for r in ratios_of(result, peer)]
        faster = [
            f"{name} {', '.join(f'{share:.2f} at {batch}' for batch, share in shares.items())}"
            for name, result in found.items()
            if (shares := {b: s for b, s in result.faster().get(peer, {}).items() if b not in unsteady(result)})
        ]
        if ratios:
            lines.append(f"nin-spec / {peer}: {geometric_mean(ratios):.3f}, the geometric mean of {len(ratios)}")
        if faster:
            lines.append(f"{peer} takes less time than nin-spec on {'; '.join(faster)}")
    return lines


def troubles(found: Found) -> list[str]:
    """What failed, and what else is worth knowing, each once."""
    every = [remark for result in found.values() for remark in result.remarks]
    common = [remark for remark in dict.fromkeys(every) if every.count(remark) == len(found)]
    own = [f"{name}: {r}" for name, result in found.items() for r in result.remarks if r not in common]
    lines = [*common, *own, *(f"{name}: {said}" for name, r in found.items() if (said := not_counted(r)))]
    failures = [(name, failure) for name, result in found.items() for failure in result.failures]
    return lines + [
        f"FAILED {name}, {f.label}, batch {f.batch}: {f.reason}\n{f.stderr}".rstrip() for name, f in failures
    ]


def not_counted(result: Result) -> str:
    """Which batch sizes have no part in the bars."""
    sizes = ", ".join(map(str, unsteady(result)))
    return f"batches of {sizes} don't count: faster than the machine's peak, so that {CHANGED}" if sizes else ""


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    from nin_spec.named import shipped_names
    from nin_spec.runtime.providers import available_threads

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", metavar="LIST", help="some of the shipped specs  [default: all]")
    parser.add_argument("--batches", metavar="LIST", help="batch sizes  [default: 1,8,64]")
    parser.add_argument("--against", metavar="LIST", help="some of the contenders  [default: all]")
    parser.add_argument("--threads", type=int, help="of each contender  [default: the cores]")
    parser.add_argument("--seconds", type=float, help="of each turn  [default: 0.5]")
    parser.add_argument("--turns", type=int, help="turns of each contender  [default: 5]")
    parser.add_argument("--int8", metavar="FILE.onnx", help="nin_cifar in int8, to be judged beside float32")
    parser.add_argument("--weights", metavar="FILE", help="of nin_cifar, those that --int8 was made of")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--quick", action="store_true", help="only show that it works: little of all, nothing judged")
    given = parser.parse_args(arguments)
    usual = {"specs": ",".join(shipped_names()), "batches": "1,8,64", "seconds": 0.5, "turns": 5, "starts": STARTS}
    usual["against"] = ",".join(AGAINST)
    quick = {"specs": "nin_digits", "batches": "1", "seconds": 0.02, "turns": 2, "starts": 1}
    for key, value in {**usual, **(quick if given.quick else {}), "threads": available_threads()}.items():
        if getattr(given, key, None) is None:
            setattr(given, key, value)
    given.specs, given.against = given.specs.split(","), given.against.split(",")
    given.batches = [int(batch) for batch in given.batches.split(",")]
    if strangers := set(given.against) - set(AGAINST):
        parser.error(f"--against takes {', '.join(AGAINST)}, not {', '.join(sorted(strangers))}")
    return given


def compare(given: argparse.Namespace) -> int:
    """Run every contest and judge; 1 when a bar is missed or a contender failed, 130 when interrupted."""
    from nin_spec.bench.machine import machine_facts
    from nin_spec.bench.results import Settings

    facts = machine_facts()
    features = facts["features"] or ()
    lacking = lacks(features, no_openvino())
    settings = Settings(tuple(given.batches), given.threads, given.seconds, given.turns, patience=1800)
    specs, same = distinct(given.specs)
    found: dict[str, Result] = {}
    kernels: dict[str, str] = {}
    starts: dict[str, Spread] = {}
    interrupted = False
    try:
        starts = start_times(given.threads, given.starts)
        measure(specs, settings, facts, lacking, given=given, found=found, kernels=kernels)
    except KeyboardInterrupt:
        interrupted = True
    unjudged = "--quick" if given.quick else "stopped before the end" if interrupted else ""
    judged = bars(found, starts, lacking, unjudged, given.against)
    told = f"{facts['cpu']}, {facts['cores']} cores, {' '.join(sorted(features))}; load before {facts['load_before']}"
    print(f"{told}; {given.threads} threads, {given.turns} turns of {given.seconds:g} s, float32")
    print(f"the same networks, measured once: {', '.join(same)}\n" if same else "")
    notes = [*same_kernels(kernels), *others(found), *troubles(found)]
    print("\n".join([*table(found), "", *verdicts(judged), "", *notes]).rstrip())
    if given.json:
        record(given.json, found, judged, starts, kernels)
    if interrupted:
        return 130
    failed = any(result.failures for result in found.values())
    return int(failed or any(bar.missed for bar in judged))


def record(
    path: Path, found: Found, judged: Sequence[Bar], starts: Mapping[str, Spread], kernels: Mapping[str, str]
) -> None:
    """Everything, for programs."""
    whole = {
        "bars": [bar.as_dict() for bar in judged],
        "start_seconds": {device: spread.as_dict() for device, spread in starts.items()},
        "kernels_unlike_torch_export": kernels,
        "specs": {name: result.as_dict() for name, result in found.items()},
    }
    path.write_text(json.dumps(whole, indent=2) + "\n")


def main() -> None:
    """Measure and judge."""
    try:
        raise SystemExit(compare(options()))
    except NinSpecError as error:
        print("\n".join(map(render, error.diagnostics)), file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
