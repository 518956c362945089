"""Compare nin-spec's commands with their peers, in one run: `make bench`. bench_graphs.py has the graphs.

Whole processes: `build` with `import torch`; `export` with a script that builds the same network in
PyTorch and calls torch.onnx.export(dynamo=True). Prints medians and their ratios; asserts nothing.

    python tests/bench.py [--runs N]
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
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, command in contenders.items():
            times[name].append(timed(command))
    return {n: (statistics.median(t for t, _ in v), statistics.median(m for _, m in v)) for n, v in times.items()}


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


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        commands(Path(name), given.runs)


if __name__ == "__main__":
    main()
