"""Compare nin_spec.training with a loop written by hand in plain PyTorch, in one run: `make bench-training`.

Each contender trains in a process of its own. Those of one network live side by side and take turns of a few
steps, one at a time, so that what the machine does meanwhile hits all alike; then all begin anew. A pair's ratio
is taken turn by turn: printed are its median, least and greatest, beside the medians of both sides. (Where a
process's memory happens to lie moves its speed by some percent: hence several rounds, of few turns.) Pictures
are random bytes in CIFAR-10's own format, and the digits bundled with nin-spec. (Of these, ours reads up to
three batches ahead while another has its turn: milliseconds, and the data line tells what they come to.)

    throughput   images/s: ours / by hand, same settings and layout in memory  (nin_cifar: at least 0.98)
    precision    images/s: ours / PyTorch's defaults, float32, contiguous      (nin_cifar, bfloat16: at least 2.5)
    data         share of a step that waits for pictures                       (nin_cifar: below 5%)
    memory       peak resident memory of the process: ours / by hand           (nin_cifar: at most 1.10)

A speed is the batch over the median time of a turn's steps, after a warm-up; evaluation and checkpoints lie
outside. The exit code is 1 when a bar is missed. Have the machine do nothing else meanwhile.

    python tests/bench_training.py [WHAT...] [--threads N] [--rounds N] [--turns N] [--steps N]
        [--json FILE] [--quick]
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench_contenders import Job, Result

WHAT = ("throughput", "precision", "data", "memory")
CONTENDERS = str(Path(__file__).with_name("bench_contenders.py"))
EMULATED = "this CPU has neither AMX nor AVX512-BF16 and emulates bfloat16: one step, for the record"
Runs = dict[Job, list[Result]]


@dataclass(frozen=True)
class Line:
    """One comparison: a quantity of our job against a peer's, or of ours alone."""

    what: str
    name: str
    ours: Job
    peer: Job | None
    quantity: Literal["rate", "memory", "share"]
    bar: tuple[Literal[">=", "<=", "<"], float] | None = None
    unjudged: str = ""

    def figures(self, runs: Runs) -> dict[str, Any]:
        """The medians, the spread of the turns, and whether the bar holds."""
        jobs = (self.ours, self.peer)
        mine, theirs = ([x for run in runs[job] for x in self._of(run)] if job else [] for job in jobs)
        each = [a / b for a, b in zip(mine, theirs, strict=False)] if theirs else mine
        figure = statistics.median(each)
        sides = {"ours": statistics.median(mine), "peer": statistics.median(theirs) if theirs else None}
        spread = {"figure": figure, "least": min(each), "most": max(each), "turns": len(each)}
        judged = {"bar": f"{self.bar[0]} {self.bar[1]:.2f}" if self.bar else None, "verdict": self._verdict(figure)}
        return {"what": self.what, "name": self.name, "quantity": self.quantity, **sides, **spread, **judged}

    def _of(self, run: Result) -> list[float]:
        """The quantity of each turn. Of the waiting shares, those after the first epoch, which starts cold, count."""
        found = run[self.quantity]
        if self.quantity == "share":
            return [statistics.median(found[1:] or found)] if found else []
        return [found] if self.quantity == "memory" else list(found)

    def _verdict(self, figure: float) -> str:
        if self.bar is None:
            return "no bar"
        if self.unjudged:
            return f"not judged here ({self.unjudged})"
        sign, value = self.bar
        return "holds" if {">=": operator.ge, "<=": operator.le, "<": operator.lt}[sign](figure, value) else "MISSED"


def lines(given: argparse.Namespace, *, native: bool) -> list[Line]:
    """All comparisons; contenders that several have in common run once a round."""
    how: dict[str, Any] = {"threads": given.threads, "turns": given.turns}
    cifar = {"spec": "nin_cifar", "batch": given.batch, "warmup": 1, "steps": given.steps, **how}
    digits = {"spec": "nin_digits", "batch": 64, "warmup": 5, "steps": 10 * given.steps, **how}
    # An emulated step takes many times as long: one, once, says enough. What isn't judged takes fewer turns.
    brief = {} if native else {"warmup": 1, "steps": 1, "turns": 1}
    mine, peer = Job("ours", **cifar), Job("plain", **cifar)
    half = Job("ours", **{**cifar, **brief}, precision="bfloat16")
    default = Job("plain", **cifar, tuned=False)
    epoch, epochs = (Job("ours", **{**how, "turns": 1}, epochs=n) for how, n in ((cifar, 1), (digits, 3)))
    small, small_peer = Job("ours", **digits), Job("plain", **digits)
    unjudged, to_default = "--quick" if given.quick else "", "channels last / PyTorch's defaults"
    emulated = unjudged if native else EMULATED
    return [
        Line("throughput", "nin_cifar, float32", mine, peer, "rate", (">=", 0.98), unjudged),
        Line("throughput", "nin_digits, float32", small, small_peer, "rate"),
        Line("precision", f"nin_cifar, bfloat16, {to_default}", half, default, "rate", (">=", 2.5), emulated),
        Line("precision", f"nin_cifar, float32, {to_default}", mine, default, "rate"),
        Line("data", "nin_cifar, 32x32, share of a step", epoch, None, "share", ("<", 0.05), unjudged),
        Line("data", "nin_digits, 8x8, share of a step", epochs, None, "share"),
        Line("memory", "nin_cifar, float32", mine, peer, "memory", ("<=", 1.10), unjudged),
    ]


def match(jobs: Sequence[Job], data: Path, rounds: int) -> Runs:
    """All results: the jobs of a network side by side, in turns; `rounds` times, in new processes."""
    runs: Runs = {job: [] for job in jobs}
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.spec, job.epochs), []).append(job)
    for number in range(rounds):
        for group in groups.values():
            present = [job for job in group if number == 0 or job.turns > 1]
            if not present:
                continue
            for job, found in zip(present, side_by_side(present, data, number), strict=True):
                speed = f"{statistics.median(found['rate']):,.1f} images/s, {found['memory']:,.0f} MB"
                print(f"round {number + 1}, {job}: {speed}", file=sys.stderr, flush=True)
                runs[job].append(found)
    return runs


def side_by_side(jobs: Sequence[Job], data: Path, number: int) -> list[Result]:
    """The results of processes that live together and of which one works at a time, in round `number`.

    Every other turn goes backwards, so that no place is favoured.
    """
    running = [start(job, data) for job in jobs]
    for turn in range(max(job.turns for job in jobs)):
        present = [(job, process) for job, process in zip(jobs, running, strict=True) if turn < job.turns]
        for job, process in present[:: -1 if (turn + number) % 2 else 1]:
            if job.epochs is None:
                go_on(process)
    return [finish(process) for process in running]


def start(job: Job, data: Path) -> subprocess.Popen[str]:
    """A contender, warmed up and waiting for its turn."""
    process = launch(job, data)
    if job.epochs is None:
        heard(process, "turn")
    return process


def launch(job: Job, data: Path) -> subprocess.Popen[str]:
    """A contender that is starting."""
    command = [sys.executable, CONTENDERS, json.dumps(asdict(job)), str(data)]
    # What it says when it fails is shown as it comes.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go_on(process: subprocess.Popen[str]) -> None:
    """One turn of a contender, from its beginning to its end."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    heard(process, "turn")


def finish(process: subprocess.Popen[str]) -> Result:
    """A contender's result, after its last turn."""
    said = process.communicate()[0].splitlines()
    if process.returncode or not said:
        raise SystemExit(f"a contender ended with status {process.returncode}")
    found: Result = json.loads(said[-1])
    return found


def heard(process: subprocess.Popen[str], word: str) -> None:
    """Wait for a word on a contender's standard output."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise SystemExit(f"a contender ended with status {process.wait()}")


def facts_of_the_machine() -> dict[str, Any]:
    """Which PyTorch this is, and what the CPU can do; asked in a process of its own."""
    done = subprocess.run([sys.executable, CONTENDERS, "probe", ""], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"asking the machine failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_pictures(folder: Path, records: int) -> None:
    """Random pictures as CIFAR-10's binary version lays them out: a label and 3,072 bytes each."""
    chance = random.Random(0)  # noqa: S311 no secret
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        pictures = (bytes([k % 10]) + chance.randbytes(3072) for k in range(records))
        (folder / f"{name}.bin").write_bytes(b"".join(pictures))


def table(found: Sequence[dict[str, Any]]) -> None:
    """A line for each comparison."""
    print(f"{'':<11}{'':<55}{'ours':>9}{'peer':>9}{'ratio':>8}  {'spread':<16}{'bar':<9}")
    for line in found:
        form = "{:.2%}" if line["quantity"] == "share" else "{:,.1f}"
        ours, peer = (form.format(line[k]) if line[k] is not None else "" for k in ("ours", "peer"))
        ratio = f"{line['figure']:.3f}" if peer else ""
        form = form if not peer else "{:.3f}"
        spread = f"{form.format(line['least'])} - {form.format(line['most'])}" if line["turns"] > 1 else "one turn"
        head = f"{line['what']:<11}{line['name']:<55}{ours:>9}{peer:>9}{ratio:>8}"
        print(f"{head}  {spread:<16}{line['bar'] or '':<9}{line['verdict']}")


def options() -> argparse.Namespace:
    """The command line."""
    from nin_spec.runtime.providers import available_threads

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(WHAT)}; all unless said")
    parser.add_argument("--threads", type=int, help="of each contender  [default: the cores]")
    parser.add_argument("--rounds", type=int, help="new processes of each contender  [default: 5]")
    parser.add_argument("--turns", type=int, help="of each contender in a round  [default: 3]")
    parser.add_argument("--steps", type=int, help="in a turn of nin_cifar; 10 times of nin_digits  [default: 4]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and each run there, too")
    parser.add_argument("--quick", action="store_true", help="only show that it works: tiny batches, nothing judged")
    given = parser.parse_args()
    unknown = set(given.what) - set(WHAT)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: WHAT is of {', '.join(WHAT)}")
    usual = {"threads": available_threads(), "rounds": 5, "turns": 3, "steps": 4, "batch": 128, "records": 640}
    quick = {"threads": 1, "rounds": 1, "turns": 1, "steps": 1, "batch": 4, "records": 4}
    for key, value in (quick if given.quick else usual).items():
        if getattr(given, key, None) is None:
            setattr(given, key, value)
    if min(given.threads, given.rounds, given.turns, given.steps) < 1:
        parser.error("threads, rounds, turns and steps are at least 1")
    return given


def compare(given: argparse.Namespace) -> int:
    """Run the match and tell what came of it; 1 when a bar is missed."""
    facts = {**facts_of_the_machine(), "load": os.getloadavg()[0]}
    chosen = [line for line in lines(given, native=facts["native_bfloat16"]) if line.what in (given.what or WHAT)]
    jobs = list(dict.fromkeys(job for line in chosen for job in (line.ours, line.peer) if job))
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), given.records)
        runs = match(jobs, Path(folder), given.rounds)
    found = [line.figures(runs) for line in chosen]
    facts |= {key: getattr(given, key) for key in ("threads", "rounds", "turns", "steps", "batch", "quick")}
    facts["seconds"] = round(time.perf_counter() - begun, 1)
    print("  ".join(f"{key} {value}" for key, value in facts.items()))
    table(found)
    if given.json:
        every = [{"job": asdict(job), "runs": results} for job, results in runs.items()]
        given.json.write_text(json.dumps({"facts": facts, "lines": found, "contenders": every}, indent=2) + "\n")
    return int(any(line["verdict"] == "MISSED" for line in found))


if __name__ == "__main__":
    raise SystemExit(compare(options()))
