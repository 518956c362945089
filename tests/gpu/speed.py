"""Rows on speed: a network beside its peers in one contest, and training beside a loop written by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench_contenders import Job
from bench_training import Line, Runs, finish, go_on, heard, launch, write_pictures

import nin_spec
from gpu.found import Found
from gpu.rows import Ask
from nin_spec.bench.contenders import OURS, PEERS, Entry
from nin_spec.bench.contest import Contest
from nin_spec.bench.results import Result, Settings
from nin_spec.bench.subjects import bench_model
from nin_spec.cli.bench_table import number
from nin_spec.diagnostics import InputError
from nin_spec.runtime.providers import available_threads

PEERS_HERE = ("torch", "torch-export", "torch-compile")
BATCHES = (1, 8, 64, 512)
GRAPHS = "nin-spec, CUDA graphs"
PATIENCE = 0.4
"""The share of a row's time after which a contender that does not respond is left out: it may be compiling."""
HEAD = ("contender", "batch", "ms", "quartiles", "images/s", "nin-spec / it", "least")


class OutOfTimeError(Exception):
    """The row's time is up: what was measured stands."""


def race(ask: Ask, found: Found, *, spec: str) -> None:
    """Latency and throughput in float32 without TF32, copies to the card and back included, in turns.

    Every contender gets its batch from host memory, and returns the scores there. PyTorch's settings are the same.
    """
    end = time.monotonic() + ask.seconds
    subject = bench_model(nin_spec.compile("nin_digits" if ask.is_little else spec).initialise(1))
    batches, seconds, turns = ((1, 2), 0.02, 2) if ask.is_little else (BATCHES, 0.15, 5)
    settings = Settings(batches, threads(ask), seconds, turns, patience=ask.seconds * PATIENCE, peaks=False)
    contest = Contest(subject, entries(ask, found), settings)
    known = {"batch": ""}

    def progress(what: str, _: float | None) -> None:
        batch = what.partition(",")[0]
        if batch.startswith("batch") and batch != known["batch"]:
            known["batch"] = batch
            report(found, contest.result())
        if time.monotonic() > end:
            raise OutOfTimeError

    contest.progress = progress
    try:
        contest.run()
    except OutOfTimeError:
        found.remarks.append("The time was up: the figures are from fewer turns.")
    report(found, contest.result())
    judge(found, contest.result())


def threads(ask: Ask) -> int:
    """The CPU threads of each contender; one where other work of the machine would only be waited for."""
    return 1 if ask.is_little else available_threads()


def entries(ask: Ask, found: Found) -> list[Entry]:
    """Ours, with CUDA graphs where the device has them, and the peers; those that are not available are left out."""
    made = [Entry("nin-spec", OURS, ask.device)]
    if not ask.is_stand_in:
        options = {"enable_cuda_graph": "true", "cuda_graph_batches": "1,8,64"}
        made.append(Entry(GRAPHS, OURS, ask.device, only=(1, 8, 64), options=options, spare=True))
    for name in PEERS_HERE[:1] if ask.quick else PEERS_HERE:  # the suite tries the slow ones elsewhere
        try:
            PEERS[name].check()
        except InputError as error:
            found.remarks.append(f"{name} is left out: {error.diagnostics[0].message}")
        else:
            made.append(Entry(name, PEERS[name], ask.device, spare=True))
    return made


def report(found: Found, result: Result) -> None:
    """What has been measured so far."""
    rows = []
    for line in result.lines:
        ms, ratio = line.runs.scaled(1e3), line.ratio
        spread = f"{number(ms.low)}-{number(ms.high)}"
        compared = ("", "") if ratio is None else (f"{ratio.median:.3f}", f"{ratio.least:.3f}")
        rows.append((line.label, line.batch, number(ms.median), spread, f"{line.images_per_second:,.0f}", *compared))
    size = "x".join(map(str, result.shape))
    found.table(f"{result.name} {size}, float32 without TF32", HEAD, rows)
    firsts = [(line.label, line.batch, f"{line.first:.2f}") for line in result.lines if line.first >= 1]
    if firsts:
        found.table("First runs of a second or more, not counted", ("contender", "batch", "s"), firsts)
    opened = [(c.label, c.title, c.facts.get("provider", c.facts["device"]), f"{c.seconds:.1f}")
              for c in result.contenders]  # fmt: skip
    found.table("Contenders", ("contender", "what it is", "runs on", "start s"), opened)
    found.figures["result"] = result.as_dict()
    found.keep()


def judge(found: Found, result: Result) -> None:
    """Whether ours were measured, and computed the same as the peers that were; a peer may be missing."""
    faults = [f"{f.label}{'' if f.batch is None else f' at batch {f.batch}'}: {f.reason}" for f in result.failures]
    found.remarks += [*(f"Not measured: {fault}." for fault in faults), *result.remarks]
    ours = [fault for fault, f in zip(faults, result.failures, strict=True) if f.label.startswith("nin-spec")]
    found.check("nin-spec is measured", "; ".join(ours) or ("" if result.lines else "there was no time"))
    differ = [fault for fault in faults if "scores differ" in fault]
    found.check("all contenders compute the same", "; ".join(differ))


# ------------------------------------------------------------------ training

PRECISIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("float32", {"precision": "float32", "tf32": False}),
    ("TF32", {"precision": "float32", "tf32": True}),
    ("bfloat16", {"precision": "bfloat16", "tf32": False}),
)


def training(ask: Ask, found: Found) -> None:
    """Training of nin_cifar in each precision beside a plain loop, in turns of a few steps, on random pictures.

    Ours computes deterministically on a GPU, the plain loop as PyTorch does by default.
    """
    full = {"batch": 128, "warmup": 20, "steps": 30, "turns": 6}
    quick = {"batch": 4, "warmup": 1, "steps": 1, "turns": 2}
    how: dict[str, Any] = {**(quick if ask.is_little else full), "threads": threads(ask)}
    data = found.path.with_name("pictures")
    data.mkdir(exist_ok=True)
    write_pictures(data, 4 if ask.is_little else 2560)
    rows = []
    spec = "nin_digits" if ask.is_little else "nin_cifar"
    for name, precision in PRECISIONS[-1:] if ask.quick else PRECISIONS:
        how |= {**precision, "device": ask.device}
        ours, plain = Job("ours", spec, **how), Job("plain", spec, **how)
        try:
            runs = measured(ours, plain, data)
        except SystemExit as error:
            found.check(f"training in {name}", str(error))
            continue
        found.check(f"training in {name}")
        figures = Line("throughput", name, ours, plain, "rate").figures(runs)
        memory = [result["device_memory"] for (result,) in runs.values()]
        found.figures[name] = {**figures, "device_memory_mb": memory, "runs": [result for (result,) in runs.values()]}
        spread = (f"{figures['figure']:.3f}", f"{figures['least']:.3f} - {figures['most']:.3f}")
        allocated = ["" if mb is None else f"{mb:,.0f}" for mb in memory]
        rows.append((name, f"{figures['ours']:,.0f}", f"{figures['peer']:,.0f}", *spread, *allocated))
        head = ("precision", "images/s", "by hand", "ratio", "least - most", "GPU MB", "by hand MB")
        found.table(f"{spec}, batches of {how['batch']}, {how['turns']} turns of {how['steps']} steps", head, rows)
        found.keep()


def measured(ours: Job, plain: Job, data: Path) -> Runs:
    """The results of two trainings that live side by side and take turns. Raises SystemExit if one ends early."""
    jobs = (ours, plain)
    running = [launch(job, data) for job in jobs]
    try:
        for process in running:
            heard(process, "turn")
        for turn in range(ours.turns):
            for process in running[:: -1 if turn % 2 else 1]:
                go_on(process)
        return {job: [finish(process)] for job, process in zip(jobs, running, strict=True)}
    finally:
        for process in running:
            process.kill()
