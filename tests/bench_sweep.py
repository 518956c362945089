"""The bars of sweeps: how good, how fast and how frugal one on nin_digits is: `make bench-sweep`.

    seconds     of 40 candidates of at most 600,000 MACs, two at a time          (at most 240)
    accuracy    of the best, on the validation split, mean of three other seeds  (at least 98.6%)
    overhead    CPU time outside trainings, in all processes                     (at most 10%)
    repeated    candidates that were over the limit, or trained twice            (none)

The clock and the CPU time are of the sweep without the confirmation. The exit code is 1 when a bar is missed. Have the
machine do nothing else meanwhile.

    python tests/bench_sweep.py [--trials N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bars import Bar, verdicts

SWEEP = """\
sweep: 1
base: nin_digits
set: {train.validation: 0.2}
space:
  train.optimizer.lr: {from: 0.05, to: 0.5, log: true}
  train.batch_size: [32, 64]
  $first: {from: 8, to: 32, step: 8}
  blocks.mlpconv1.channels: [[$first, $first], [$first, $first, $first]]
  $second: {from: 16, to: 64, step: 16}
  blocks.mlpconv2.channels: [[$second, $second], [$second, $second, $second]]
  blocks.mlpconv2.dropout: [0.1, 0.3]
  $third: {from: 16, to: 64, step: 16}
  blocks.mlpconv3.convs: [[$third, $third, {channels: classes, norm: none, activation: none, bias: true}]]
within: {macs: 600e3}
trials: 40
"""
LIMIT, SEEDS = 600_000, 3


def measured(trials: int, folder: Path) -> tuple[dict[str, object], Sequence[Bar]]:
    """What came of the sweep, and the bars."""
    from nin_spec import sweep
    from nin_spec.sweeps.confirm import confirm

    file = folder / "digits.sweep.yaml"
    file.write_text(SWEEP)
    begun, before = time.perf_counter(), _cpu()
    result = sweep(file, folder / "out", workers=2, threads=1, trials=trials, device="cpu")
    seconds, spent = time.perf_counter() - begun, _cpu() - before
    training = sum(trial.metrics["cpu_seconds"] for trial in result.trained)
    identities = [trial.identity for trial in result.trained]
    wrong = sum(trial.facts["macs"] > LIMIT for trial in result.trained) + len(identities) - len(set(identities))
    best = result.best()
    confirmed = confirm(result, best, SEEDS, threads=1)
    assert confirmed is not None
    facts: dict[str, object] = {
        "best": best.as_dict(),
        "counts": dict(result.counts),
        "seconds": seconds,
        "cpu_seconds": spent,
        "training_cpu_seconds": training,
        "confirmed": confirmed.as_dict(),
        "load": os.getloadavg()[0],
    }
    unjudged = "" if trials == 40 else "fewer trials"
    bars = [
        Bar("a sweep of 40 candidates, s", "<=", 240, seconds, len(result.trained), unjudged),
        Bar("validation accuracy, mean of other seeds", ">=", 0.986, confirmed.mean, SEEDS, unjudged),
        Bar("CPU time outside trainings", "<=", 0.10, 1 - training / spent, len(result.trained), unjudged),
        Bar("trained over the limit, or twice", "<=", 0, float(wrong), len(result.trained)),
    ]
    return facts, bars


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> int:
    """Run, print the bars; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        facts, bars = measured(given.trials, Path(folder))
    print(json.dumps(facts, indent=2))
    print("\n".join(verdicts(bars)))
    if given.json:
        given.json.write_text(json.dumps({"facts": facts, "bars": [bar.as_dict() for bar in bars]}, indent=2) + "\n")
    return int(any(bar.missed for bar in bars))


if __name__ == "__main__":
    raise SystemExit(main())
