"""Compare the CPU time of imports with that of another revision: every public oracle, as files and as a module.

Each oracle is written by both of PyTorch's exporters, and each revision imports the same files and modules, in
processes of its own, in turns. Prints seconds (user and system, the best of the rounds) and ratios; asserts nothing.

    git worktree add ../before REVISION
    python tests/bench_import.py ../before [--rounds 3] [--names a,b]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nin_spec

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "oracles"), str(HERE / "importers")]
KINDS = ("legacy", "dynamo", "module")
Times = dict[str, float]
"""CPU seconds by `name kind`."""


def write_files(folder: Path, names: Sequence[str]) -> None:
    """Each oracle with the golden weights, by either exporter."""
    from foreign_models import torch_file
    from oracle_graphs import record

    for name in names:
        for kind in KINDS[:2]:
            net = module_of(name).float()
            torch_file(folder / f"{name}.{kind}.onnx", net, record(name)["input"], dynamo=kind == "dynamo", opset=18)


def module_of(name: str) -> Any:
    """The oracle as an nn.Module."""
    import build_record  # type: ignore[import-not-found]
    from oracle_graphs import record

    net = build_record.build(record(name))
    build_record.set_parameters(net, "hash")
    return net


def import_all(folder: Path, names: Sequence[str]) -> Times:
    """The time of each import in this process. The first oracle is imported once before, untimed."""
    from oracle_graphs import record

    def timed(name: str, kind: str) -> float:
        net = module_of(name)
        start = time.process_time()
        if kind == "module":
            nin_spec.import_module(net, record(name)["input"], name)
        else:
            nin_spec.import_onnx(folder / f"{name}.{kind}.onnx")
        return time.process_time() - start

    for kind in KINDS:
        timed(names[0], kind)
    return {f"{name} {kind}": timed(name, kind) for name in names for kind in KINDS}


def of_checkout(checkout: Path, folder: Path, names: Sequence[str]) -> Times:
    """The same in a new process, on one CPU, with a checkout's nin_spec."""
    command = [sys.executable, __file__, "--of", str(folder), "--names", ",".join(names)]
    path = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=path, stdout=subprocess.PIPE, text=True, check=True)
    found: Times = json.loads(done.stdout.splitlines()[-1])
    return found


def table(before: Times, after: Times) -> list[str]:
    """A line for each import, the slowest ratio first, and their sum."""
    from nin_spec.printing import columns  # not where each revision has it

    rows = [(what, before[what], after[what]) for what in before]
    rows.sort(key=lambda row: row[2] / row[1], reverse=True)
    rows.append(("all", sum(before.values()), sum(after.values())))
    lines = [(what, f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}") for what, a, b in rows]
    return columns([("", "before", "after", "ratio"), *lines], right={1, 2, 3})


def main() -> None:
    """Print the table, or, in a process of one checkout, its times."""
    from oracle_graphs import golden_names

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", nargs="?", type=Path, help="a checkout of the revision to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", default=",".join(golden_names()))
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.names.split(",")
    if given.of is not None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(json.dumps(import_all(given.of, names)))
        return
    if given.before is None:
        parser.error("name a checkout to compare with")
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), names)
        rounds = [
            [of_checkout(checkout, Path(folder), names) for checkout in (given.before, HERE.parent)]
            for _ in range(given.rounds)
        ]
    best = [{what: min(r[k][what] for r in rounds) for what in rounds[0][k]} for k in (0, 1)]
    print("\n".join(table(*best)))


if __name__ == "__main__":
    main()
