"""Compare nin-spec with its peers, in one run: `make bench`.

Whole processes: `build` with `import torch`; `export` with a script that builds the same network in
PyTorch and calls torch.onnx.export(dynamo=True). Graphs: each shipped spec's exported file with what
torch.onnx.export writes for the same nn.Module, in onnxruntime on the CPU provider, each in its own
process, in turn. Prints medians, their ratio, and the ratio of the least; asserts nothing.

    python tests/bench.py [commands|graphs|all] [--runs N] [--specs a,b] [--batches 1,8]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NIN_SPEC = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]

AS_FLOAT32 = ["--set", "dtype=float32"]

PEER_EXPORT = """
import sys, torch
sys.path.insert(0, {folder!r})
import {module} as source
net = source.{name}().eval()
source.load_weights(net, {weights!r})
example = torch.zeros({shape})
torch.onnx.export(net, (example,), {target!r}, dynamo=True, verbose=False,
                  input_names=["input"], output_names=["scores"], dynamic_shapes=({{0: torch.export.Dim("batch")}},))
"""

TIMER = """
import sys, time, statistics, numpy as np, onnxruntime as ort
path, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
options = ort.SessionOptions()
options.intra_op_num_threads = {threads}
options.log_severity_level = 3
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
node = session.get_inputs()[0]
x = np.random.default_rng(0).standard_normal((batch, *node.shape[1:])).astype(np.float32)
feed = {{node.name: x}}
for _ in range(3): session.run(None, feed)
laps, end = [], time.perf_counter() + seconds
while time.perf_counter() < end or len(laps) < 5:
    start = time.perf_counter(); session.run(None, feed); laps.append(time.perf_counter() - start)
print(statistics.median(laps))
"""


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of a whole process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        error = process.stderr.read().decode() if process.stderr else ""
        raise SystemExit(f"{' '.join(command)} failed:\n{error}")
    return seconds, usage.ru_maxrss / 1024


def in_turn(contenders: dict[str, list[str]], runs: int) -> dict[str, tuple[float, float]]:
    """Medians of wall time and memory, the contenders taking turns, after one warm-up each."""
    for command in contenders.values():
        timed(command)
    laps: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, command in contenders.items():
            laps[name].append(timed(command))
    return {n: (statistics.median(t for t, _ in v), statistics.median(m for _, m in v)) for n, v in laps.items()}


def commands(folder: Path, runs: int) -> None:
    """The commands as whole processes."""
    weights, peer = folder / "weights.safetensors", folder / "peer.py"
    subprocess.run([*NIN_SPEC, "build", "nin_cifar", "-o", str(weights)], check=True, capture_output=True)
    write_peer("nin_cifar", folder, weights, peer)
    export = [*NIN_SPEC, "export", "nin_cifar", "--onnx", str(folder / "ours.onnx"), "--weights", str(weights)]
    found = in_turn(
        {
            "import torch": [sys.executable, "-c", "import torch"],
            "build nin_cifar": [*NIN_SPEC, "build", "nin_cifar"],
            "torch.onnx.export": [sys.executable, str(peer)],
            "export --no-parity": [*export, "--no-parity"],
            "export with parity": export,
        },
        runs,
    )
    for name, (seconds, memory) in found.items():
        print(f"{name:<22} {seconds:7.3f} s  {memory:7.1f} MB")
    for ours, theirs, bar in (
        ("build nin_cifar", "import torch", 0.20),
        ("export --no-parity", "torch.onnx.export", 0.15),
        ("export with parity", "torch.onnx.export", 1.00),
    ):
        print(f"{ours + ' / ' + theirs:<42} {found[ours][0] / found[theirs][0]:.3f}  (bar {bar:.2f})")
    print(f"{'peak memory of build':<42} {found['build nin_cifar'][1]:.1f} MB  (bar 64)")


def write_peer(spec: str, folder: Path, weights: Path, script: Path) -> Path:
    """A script that exports the same network, from its generated source, with torch.onnx.export."""
    import nin_spec

    source, target = folder / f"{spec}_peer.py", folder / f"{spec}_peer.onnx"
    subprocess.run(
        [*NIN_SPEC, "export", spec, *AS_FLOAT32, "--source", str(source), "--weights", str(weights)],
        check=True,
        capture_output=True,
    )
    network = nin_spec.compile(spec)
    name = next(line for line in reversed(source.read_text().splitlines()) if line.startswith("class "))
    script.write_text(
        PEER_EXPORT.format(
            folder=str(folder),
            module=source.stem,
            name=name.split("(")[0].removeprefix("class "),
            weights=str(weights),
            shape=(2, *network.graph.input.shape),
            target=str(target),
        )
    )
    return target


def graphs(folder: Path, runs: int, specs: list[str], batches: list[int]) -> None:
    """Each spec's two graphs in onnxruntime."""
    threads = len(os.sched_getaffinity(0))
    print(f"\nonnxruntime, CPU provider, float32, {threads} threads, milliseconds a batch")
    print(f"{'spec':<28}{'batch':>6}{'nin-spec':>11}{'torch':>11}{'ratio':>8}{'of least':>10}")
    timer = TIMER.format(threads=threads)
    for spec in specs:
        ours, weights, peer = folder / f"{spec}.onnx", folder / f"{spec}.safetensors", folder / f"{spec}_export.py"
        subprocess.run([*NIN_SPEC, "build", spec, *AS_FLOAT32, "-o", str(weights)], check=True, capture_output=True)
        export = [*NIN_SPEC, "export", spec, *AS_FLOAT32, "--onnx", str(ours), "--weights", str(weights), "--no-parity"]
        subprocess.run(export, check=True, capture_output=True)
        theirs = write_peer(spec, folder, weights, peer)
        subprocess.run([sys.executable, str(peer)], check=True, capture_output=True)
        for batch in batches:
            laps: dict[Path, list[float]] = {ours: [], theirs: []}
            for _ in range(runs):
                for path, found in laps.items():
                    command = [sys.executable, "-c", timer, str(path), str(batch), "1.0"]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    found.append(float(done.stdout) * 1000)
            a, b = statistics.median(laps[ours]), statistics.median(laps[theirs])
            least = min(laps[ours]) / min(laps[theirs])
            print(f"{spec:<28}{batch:>6}{a:>11.3f}{b:>11.3f}{a / b:>8.3f}{least:>10.3f}", flush=True)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["commands", "graphs", "all"], default="all")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--specs", default="")
    parser.add_argument("--batches", default="1,8")
    given = parser.parse_args()
    from nin_spec.language.load import shipped_names

    specs = given.specs.split(",") if given.specs else shipped_names()
    with tempfile.TemporaryDirectory() as name:
        if given.what in ("commands", "all"):
            commands(Path(name), given.runs)
        if given.what in ("graphs", "all"):
            graphs(Path(name), given.runs, specs, [int(b) for b in given.batches.split(",")])


if __name__ == "__main__":
    main()
