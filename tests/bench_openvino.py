"""Judge the device openvino in bfloat16 by the bars that were set for it, on nin_cifar: `make bench-openvino`.

nin-spec's sessions in turns: the CPU provider in float32, the device openvino in float32 and in bfloat16, and what
`auto` takes for bfloat16, all of one onnxruntime; beside them OpenVINO itself where it is installed. With --run, a
trained network of nin_cifar's function classifies test pictures in PyTorch in float32 and on the device in bfloat16.
Exits 1 when a bar is missed or a contender failed.

    python tests/bench_openvino.py [--run RUN [--data DIR] [--limit N]] [--seconds S] [--turns N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bars import Bar, verdicts
from bench_graphs import FAST_BFLOAT16, gain, no_openvino, reporter

from nin_spec.bench.contenders import OURS, PEERS, Entry
from nin_spec.diagnostics import NinSpecError, render

if TYPE_CHECKING:
    from nin_spec.bench.results import Result
    from nin_spec.evaluation import Comparison

BFLOAT16 = "nin-spec openvino bfloat16"
AT_MOST = {1: 0.60, 64: 0.55}
"""Of the CPU provider's time in float32, by batch size."""
AGREEMENT = 0.995
"""The share of pictures with the same class, in bfloat16 as in float32."""


def entries() -> list[Entry]:
    """The first is what the others are compared with."""
    own = OURS
    made = [
        Entry("nin-spec cpu float32", own, "cpu", "float32"),
        Entry("nin-spec openvino float32", own, "openvino", "float32"),
        Entry(BFLOAT16, own, "openvino", "bfloat16"),
        Entry("nin-spec auto bfloat16", own, "auto", "bfloat16"),
    ]
    return made + [Entry(f"openvino {p}", PEERS["openvino"], "cpu", p, spare=True) for p in ("float32", "bfloat16")]


def bars(result: Result | None, agreed: Comparison | None, unjudged: str = "") -> list[Bar]:
    """Time and agreement. `unjudged` is why this machine is not judged."""
    made = []
    for batch, most in AT_MOST.items():
        faster = gain(result, BFLOAT16, batch) if result else None
        share = 1 / faster if faster else None
        made.append(Bar(f"batch {batch}: bfloat16 on openvino / float32 on cpu", "<=", most, share, 1, unjudged))
    same = agreed.agreement if agreed else None
    figure, count = (same.same / same.images, same.images) if same else (None, 0)
    why = unjudged or ("" if agreed else "no --run RUN")
    return [*made, Bar("top-1 agreement with float32", ">=", AGREEMENT, figure, count, why)]


def unable(features: Sequence[str]) -> str:
    """Why this machine is not judged, "" if it is."""
    lacks = f"this CPU has none of {', '.join(FAST_BFLOAT16)}"
    return no_openvino() or ("" if set(features).intersection(FAST_BFLOAT16) else lacks)


def measure(given: argparse.Namespace, facts: dict[str, Any]) -> Result:
    """The contest of nin_cifar."""
    import nin_spec
    from nin_spec.bench.contest import Contest
    from nin_spec.bench.results import Settings
    from nin_spec.bench.subjects import bench_model
    from nin_spec.runtime.providers import available_threads

    settings = Settings((1, 8, 64), given.threads or available_threads(), given.seconds, given.turns, peaks=False)
    subject = bench_model(nin_spec.compile("nin_cifar").initialise())
    contest = Contest(subject, entries(), settings, reporter("nin_cifar: "), facts)
    contest.run()
    return contest.result()


def agreement(run: Path, data: Path | None, limit: int | None) -> Comparison:
    """Test pictures in PyTorch in float32, and on the device in bfloat16. Raises what `nin-spec evaluate` raises."""
    import nin_spec
    from nin_spec.data.views import sample
    from nin_spec.evaluation import compare, subject_of_run
    from nin_spec.training.sets import open_run_split

    opened = nin_spec.open_run(run)
    if opened.network.hash != nin_spec.compile("nin_cifar").hash:
        raise SystemExit(f"{run} holds another function than nin_cifar's")
    part = open_run_split(opened, "test", data)
    part = sample(part, limit, 0) if limit else part
    return compare(subject_of_run(opened, device="openvino", options={"precision": "bfloat16"}), part)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="RUN", help="a training of nin_cifar's function")
    parser.add_argument("--data", type=Path, metavar="DIR", help="its pictures  [default: where the run found them]")
    parser.add_argument("--limit", type=int, metavar="N", help="test pictures  [default: all]")
    parser.add_argument("--threads", type=int, help="of each contender  [default: the cores]")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each lap  [default: 0.5]")
    parser.add_argument("--turns", type=int, default=7, help="turns of each contender  [default: 7]")
    return parser.parse_args(arguments)


def compared(given: argparse.Namespace) -> int:
    """Measure, print and judge; 1 when a bar is missed or a contender failed."""
    from nin_spec.bench.machine import machine_facts
    from nin_spec.cli.bench_table import show

    facts = machine_facts()
    why = unable(facts["features"] or ())
    result = None if why else measure(given, facts)
    agreed = agreement(given.run, given.data, given.limit) if given.run and not why else None
    if result:
        show(result)
        print()
    if agreed and agreed.torch:
        print(f"accuracy: {agreed.torch.accuracy:.2%} in float32, {agreed.accuracy:.2%} in bfloat16")
    judged = bars(result, agreed, why)
    print("\n".join(verdicts(judged)))
    return int(bool(result and result.failures) or any(bar.missed for bar in judged))


def main() -> None:
    """Measure and judge."""
    try:
        raise SystemExit(compared(options()))
    except NinSpecError as error:
        print("\n".join(map(render, error.diagnostics)), file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
