"""nin-spec bench."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.bench.contenders import OURS, PEERS, Contender, Entry
from nin_spec.cli import completing
from nin_spec.cli.bench_table import show
from nin_spec.cli.help import Command
from nin_spec.cli.options import (
    check_precision,
    device_option,
    force_option,
    format_option,
    input_option,
    input_overrides,
    seed_option,
    set_option,
    tell,
    weigh,
    weights_option,
)
from nin_spec.cli.outputs import FILE, PICTURE, deliver, protect
from nin_spec.cli.printer import quiet_option
from nin_spec.cli.progress import clear_line, reporter
from nin_spec.extras import require
from nin_spec.provider_gaps import written_for
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.bench.results import Result, Settings
    from nin_spec.bench.subjects import BenchSubject
    from nin_spec.network import Network
    from nin_spec.runtime.providers import Device
    from nin_spec.training.folder import Run

BATCHES = (1, 8, 64)
PRECISIONS = ("float32", "bfloat16", "float16")
_LARGEST = 1 << 20


@click.command("bench", cls=Command)
@click.argument("subject", metavar="SPEC|MODEL.onnx|RUNDIR", shell_complete=completing.subjects)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.devices,
    help="Measure on this device; may be repeated.",
)
@device_option
@click.option(
    "--precision",
    "precisions",
    metavar="LIST",
    shell_complete=completing.list_of(PRECISIONS),
    help="Precisions, for example float32,bfloat16.",
)
@click.option("--batch", "batches", metavar="LIST", help="Batch sizes.  [default: 1,8,64]")
@click.option(
    "--against",
    "peers",
    metavar="LIST",
    shell_complete=completing.list_of(PEERS),
    help=f"Compare with {', '.join(PEERS)}, or other ONNX files.",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), metavar="N", help="CPU threads of each contender.  [default: all cores]"
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.001, 3600),
    metavar="S",
    default=1.0,
    show_default=True,
    help="How long each turn lasts; a contender runs repeatedly until then.",
)
@click.option(
    "--turns", type=click.IntRange(1, 1000), metavar="N", default=5, show_default=True, help="Turns of each contender."
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 86400),
    metavar="S",
    default=600.0,
    show_default=True,
    help="Seconds after which a contender that does not respond is stopped.",
)
@click.option("--no-peak", is_flag=True, help="Do not measure the peak of the machine, which needs torch.")
@weights_option
@set_option
@input_option
@seed_option
@format_option("table", "json")
@click.option("--json", "record", metavar="FILE", type=FILE, help="Also write all results there as JSON.")
@click.option("--plot", metavar="FILE.png", type=PICTURE, help="Also plot the throughputs.")
@quiet_option
@force_option
def bench_command(
    subject: str,
    devices: tuple[Device, ...],
    options: dict[str, str],
    precisions: str | None,
    batches: str | None,
    peers: str | None,
    threads: int | None,
    seconds: float,
    turns: int,
    timeout: float,
    no_peak: bool,
    weights: str | None,
    overrides: tuple[str, ...],
    size: str | None,
    seed: int,
    form: str,
    record: str | None,
    plot: str | None,
    force: bool,
) -> int:
    """Measure how fast a network runs here, beside other runtimes.

    \b
      nin-spec bench nin_cifar                                       on the best device
      nin-spec bench nin_cifar --against torch,torch-compile,torch-export,bare
      nin-spec bench nin_cifar --against openvino,mnn                other runtimes, if installed
      nin-spec bench nin_cifar --precision float32,bfloat16          what bfloat16 gains
      nin-spec bench net.onnx --device cpu --device openvino --batch 1,8
      nin-spec bench net.onnx --device cpu --device-option spinning=never
      nin-spec bench net.onnx --against net-int8.onnx --plot bench.png --json bench.json

    Each contender has its own process, and waits while another is measured. All get the same images, and are shown to
    compute the same scores before they are timed. They run in turns, in reverse order every other turn.

    `ms` is the median time of one run, and half of the runs lie within `quartiles`. `ratio` is the time of nin-spec
    divided by that of the contender: the median over the turns, with the smallest in `least`; below 1 nin-spec is
    faster. `peak` is the share of the fastest matrix product of this machine, in the same precision with the same
    threads. GFLOP/s counts two operations per MAC.

    Ctrl-C stops and shows what has been measured. The exit code is 1 if a contender failed or computes something else.
    """
    from nin_spec.bench.contest import Contest
    from nin_spec.opened import measured

    inputs = [subject, weights]
    outputs = check_outputs(record, plot, inputs, force=force)
    devices = tuple(dict.fromkeys(devices)) or ("auto",)
    changes = {"--set": overrides, "--input": size, "--weights": weights}
    opened = measured(subject, changes, [*overrides, *input_overrides(size)])
    found = open_subject(opened, devices, weights, seed)
    entries = choose_entries(devices, options, words(precisions), words(peers))
    settings = choose_settings(found, sizes(batches), threads, Timing(seconds, turns, timeout, peaks=not no_peak))
    contest = Contest(found, entries, settings, reporter())
    interrupted = False
    try:
        contest.run()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        clear_line()
    result = contest.result()
    if form == "json":
        click.echo(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        show(result)
    write_outputs(result, outputs, inputs, force=force)
    if interrupted:
        tell(["interrupted"])
        return 130
    return 1 if result.failures else 0


# ------------------------------------------------------------------ what was asked for


def check_outputs(record: str | None, plot: str | None, inputs: list[str | None], *, force: bool) -> dict[Path, Kind]:
    """What is written, by path; what can't be written must not show after minutes."""
    if record is not None and record == plot:
        raise click.UsageError(f"--json and --plot can't both be {plot}")
    outputs = {Path(path): kind for path, kind in ((record, Kind.BENCH), (plot, Kind.PNG)) if path is not None}
    protect(outputs, inputs, force=force)
    if plot is not None:
        require("matplotlib", purpose="--plot", extra="bench")
    return outputs


def open_subject(
    opened: Path | Network | Run, devices: tuple[Device, ...], weights: str | None, seed: int
) -> BenchSubject:
    """What was opened by its name: an ONNX file, a spec with weights, or a run, exported for the devices."""
    from nin_spec.bench.subjects import bench_file, bench_model
    from nin_spec.network import Network

    match opened:
        case Path() as path:
            return bench_file(path, devices[0])
        case Network() as network:
            # The values of the weights decide no time: fresh ones need no remark here.
            model = network.initialise(seed) if weights is None else weigh(network, weights, seed)
            return bench_model(model, **written_for(*devices))
        case run:
            return bench_model(run.model(), **written_for(*devices))


def choose_entries(
    devices: tuple[Device, ...], options: dict[str, str], arithmetic: list[str], peers: list[str]
) -> list[Entry]:
    """Ours on each device in each precision, then the peers, on the first device."""
    precisions: list[str | None] = [check_precision(word, PRECISIONS) for word in arithmetic] or [None]
    several = len(devices) * len(precisions) > 1
    if options and (len(devices) > 1 or devices == ("auto",)):
        raise click.UsageError("--device-option needs exactly one --device")
    first, *others = [
        Entry(" ".join(filter(None, ("nin-spec", device if several else "", p))), OURS, device, p, options=options)
        for device in devices
        for p in precisions
    ]
    # Not every device has every precision: what there is to compare is compared.
    spare = len(devices) > 1 and len(precisions) > 1
    ours = [first, *(replace(entry, spare=spare) for entry in others)]
    return [*ours, *(entry for name in peers for entry in peer_entries(name, devices[0], options, arithmetic))]


def peer_entries(name: str, device: str, options: dict[str, str], arithmetic: list[str]) -> list[Entry]:
    """A row of the table in each precision that it may be asked for, or another ONNX file."""
    found = peer_entry(name, device, options)
    asked = [p for p in arithmetic if p in found.contender.precisions]
    if not asked:
        return [found]
    labels = [f"{name} {p}" if len(arithmetic) > 1 else name for p in asked]
    return [replace(found, label=label, precision=p, spare=True) for label, p in zip(labels, asked, strict=True)]


def peer_entry(name: str, device: str, options: dict[str, str]) -> Entry:
    """A row of the table, or another ONNX file. The device's options are for what runs in our settings."""
    from nin_spec.diagnostics import did_you_mean

    if name in PEERS:
        beside = PEERS[name].devices
        if beside and device not in beside:
            message = f"{name} runs on the CPU, and can't be compared with {device}"
            raise click.BadParameter(message, param_hint="--against")
        return Entry(name, PEERS[name], device, options=options)
    if name.lower().endswith(".onnx"):
        return Entry(
            name, Contender("file", "another ONNX file", "session", "file"), device, file=name, options=options
        )
    hint = did_you_mean(name, list(PEERS))
    raise click.BadParameter(f"unknown contender {name!r}; {hint}, or pass a MODEL.onnx", param_hint="--against")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each contender runs and how often, in seconds, and whether the machine's own peak is measured."""

    seconds: float
    turns: int
    timeout: float
    peaks: bool


def choose_settings(subject: BenchSubject, batches: list[int], threads: int | None, timing: Timing) -> Settings:
    """How it is measured."""
    from nin_spec.bench.results import Settings
    from nin_spec.runtime.providers import available_threads

    usual = BATCHES if subject.batch is None else (subject.batch,)
    return Settings(
        batches=tuple(batches) or usual,
        threads=threads or available_threads(),
        seconds=timing.seconds,
        turns=timing.turns,
        patience=timing.timeout,
        peaks=timing.peaks,
    )


def sizes(text: str | None) -> list[int]:
    """Batch sizes of a list."""
    for word in words(text):
        if not (word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= _LARGEST):
            raise click.BadParameter(f"{word!r} is not a batch size; write, for example, 1,8,64", param_hint="--batch")
    return [int(word) for word in words(text)]


def words(text: str | None) -> list[str]:
    """The words of a list, each once."""
    return list(dict.fromkeys(word for word in map(str.strip, (text or "").split(",")) if word))


# ------------------------------------------------------------------ what is written


def write_outputs(result: Result, outputs: dict[Path, Kind], inputs: list[str | None], *, force: bool) -> None:
    """The JSON file and the picture."""
    from nin_spec.seals import sealed

    files = {path: sealed(_content(result, kind), kind) for path, kind in outputs.items()}
    if files:
        deliver(files, inputs, force=force)
        tell(f"wrote {path} ({len(data):,} bytes)" for path, data in files.items())


def _content(result: Result, kind: Kind) -> bytes:
    if kind is Kind.BENCH:
        return (json.dumps(result.as_dict(), indent=2, ensure_ascii=False) + "\n").encode()
    from nin_spec.diagrams.charts import bench_png

    return bench_png(result.as_dict())
