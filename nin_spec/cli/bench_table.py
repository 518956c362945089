"""The table of `nin-spec bench`, and the notes below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nin_spec.bench.figures import Spread
    from nin_spec.bench.results import Line, Result

HEADERS = ("contender", "batch", "ms", "quartiles", "images/s", "GFLOP/s", "peak", "ratio", "least")


def show(result: Result) -> None:
    """The table for people, with what must be known to read it."""
    from nin_spec.printing import columns

    rows = [cells(line) for line in result.lines]
    machine, settings = result.machine, result.settings
    size = "x".join(map(str, result.shape))
    macs = "" if result.macs is None else f", {result.macs:,} MACs per image"
    how = f"{settings.threads} threads, {settings.turns} turns of {settings.seconds:g} s"
    click.echo(f"{result.name}  {size}{macs}; {how}")
    click.echo(f"{machine['cpu']}, {machine['cores']} cores, load before {machine['load_before']}")
    click.echo()
    click.echo("\n".join(columns([HEADERS, *rows], right=range(1, len(HEADERS)))))
    click.echo()
    click.echo("\n".join(notes(result)))


def cells(line: Line) -> tuple[str, ...]:
    """A line as people read it."""
    ms = line.runs.scaled(1e3)
    return (
        line.label,
        str(line.batch),
        number(ms.median),
        f"{number(ms.low)}-{number(ms.high)}",
        f"{line.images_per_second:,.0f}" if line.images_per_second >= 10 else f"{line.images_per_second:.2f}",
        "" if line.gflops is None else f"{line.gflops:,.1f}",
        "" if line.share is None else f"{line.share.median:.0%}",
        "" if line.ratio is None else f"{line.ratio.median:.3f}",
        "" if line.ratio is None else f"{line.ratio.least:.3f}",
    )


def number(value: float) -> str:
    """Milliseconds in about four digits."""
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 10 else f"{value:.3f}"


def notes(result: Result) -> list[str]:
    """Peaks, what was compiled, what each contender ran on, and what went wrong."""
    peaks = [each for each in result.contenders if each.label in result.peaks]
    found = [peak_note(each.facts, result.peaks[each.label]) for each in peaks]
    found += contender_lines(result)
    compiled = [line for line in result.lines if line.label == "torch-compile"]
    if compiled:
        times = ", ".join(f"{line.first:.1f} s at batch {line.batch}" for line in compiled)
        found.append(f"torch-compile: the first run, which compiles, is not counted: {times}")
    found += [faster_note(label, shares) for label, shares in result.faster().items()]
    found += result.remarks
    for failure in result.failures:
        at = "" if failure.batch is None else f" at batch {failure.batch}"
        found.append(f"FAILED {failure.label}{at}: {failure.reason}")
        found += [f"  | {line}" for line in failure.stderr.splitlines()]
    return found if result.complete else [*found, "stopped early: the figures above are from fewer turns"]


def faster_note(label: str, shares: Mapping[int, float]) -> str:
    """By how much another runtime is faster than nin-spec."""
    times = ", ".join(f"{share:.2f} at batch {batch}" for batch, share in shares.items())
    return f"{label} is faster: its time over nin-spec's is {times}"


def contender_lines(result: Result) -> list[str]:
    """One line per contender: description, provider, precision, start time and options."""
    from nin_spec.printing import columns

    here = [each for each in result.contenders if not each.is_peak]
    places = [each.facts.get("provider", f"torch on {each.facts['device']}") for each in here]
    starts = [f"start {each.seconds:.2f} s" for each in here]
    asked = [" ".join(f"{key}={value}" for key, value in each.facts.get("options", {}).items()) for each in here]
    rows = [
        (c.label, c.title, where, c.facts["precision"], start, options)
        for c, where, start, options in zip(here, places, starts, asked, strict=True)
    ]
    return columns(rows) if rows else []


def peak_note(facts: Any, gflops: Spread) -> str:
    """The machine's peak in a precision, and how it was reached."""
    shape = "x".join(map(str, facts["shape"]))
    return f"{facts['precision']} peak of this machine: {gflops.median:,.1f} GFLOP/s ({facts['engine']}, {shape})"
