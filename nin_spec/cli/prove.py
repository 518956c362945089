"""nin-spec prove."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import check_precision, device_option, force_option, format_option, tell
from nin_spec.cli.outputs import FILE, STDOUT, deliver, protect
from nin_spec.cli.printer import quiet_option
from nin_spec.cli.progress import clear_line, reporter
from nin_spec.conformance.verdict import Outcome
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.conformance.cases import Case
    from nin_spec.conformance.results import Record
    from nin_spec.conformance.run import Run
    from nin_spec.conformance.verdict import Verdict

PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_EVERY = 2.0
"""Seconds between two writes of the record."""
_EACH = 50
"""Cases that are worth another worker, whose start takes as long."""


@click.command("prove", cls=Command)
@click.argument("device", metavar="DEVICE", shell_complete=completing.devices)
@device_option
@click.option(
    "--precision",
    "precisions",
    metavar="LIST",
    shell_complete=completing.list_of(PRECISIONS),
    help="Precisions, for example float32,float16.  [default: float32, and those that the device claims]",
)
@click.option(
    "--only",
    metavar="PATTERN",
    help="Only the cases whose op, description or number matches, for example 'pool avg', '*ceil_mode*' or c41d2f0a97.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="CPU threads of a session.  [default: 1 on cpu, where several cases run at a time, else all cores]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 86400),
    metavar="S",
    default=300.0,
    show_default=True,
    help="Seconds after which a case that does not end is stopped, and wrong.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE.json",
    type=FILE,
    help="Keep every verdict there as soon as it is reached. The same command with the same file resumes.",
)
@format_option("text", "json", "markdown")
@quiet_option
@force_option
def prove_command(
    device: str,
    options: dict[str, str],
    precisions: str | None,
    only: str | None,
    threads: int | None,
    timeout: float,
    output: str | None,
    form: str,
    force: bool,
) -> int:
    """Prove that a device computes what the language means, op by op.

    \b
      nin-spec prove cpu                                  under 20 seconds on two cores
      nin-spec prove webgpu -o webgpu.json                minutes without a GPU; Ctrl-C, and the same command resumes
      nin-spec prove openvino --precision bfloat16
      nin-spec prove cuda --only 'pool avg'
      nin-spec prove webgpu --format markdown > report.md

    Small specs hold every op and attribute of the language, every padding and rounding of pools, fixed and open sizes.
    Each is exported as `nin-spec export --device` does it, run in batches of 1, 2, 7 and 64, and compared with the
    nn.Module in float64. Run it on a new card, driver or version of a provider.

    A case is exact within the tolerance of its precision, refused if the exporter or the device reports that it can't
    compute it, and wrong otherwise: other values, a crash, or no end. Each runs in another process, so a crash costs
    one case. Below the table stands the smallest spec that shows what is wrong or refused; save it as case.yaml to try
    `nin-spec export case.yaml --onnx --device DEVICE`.

    The exit code is 1 if a case is wrong, and 2 if the device can't be used. Refused cases are reported, and exit 0.
    """
    from nin_spec.cli.prove_table import show
    from nin_spec.conformance.place import plan
    from nin_spec.conformance.results import Record
    from nin_spec.conformance.run import Run

    asked, path = _precisions(precisions), _checked(device, output, force=force)
    place, lanes = plan(device, options, threads)
    suites: dict[str, list[Case]] = {}
    if only is not None:
        suites = {name: _cases(name, only) for name in asked or ("float32",)}
        lanes = min(lanes, 1 + sum(map(len, suites.values())) // _EACH)
    with Run(place, lanes, timeout) as run:
        suites = suites or {name: _cases(name, only) for name in asked or ("float32",)}  # while the workers start
        facts, claimed = run.facts()
        suites |= {name: _cases(name, only) for name in (() if asked else claimed) if name not in suites}
        cases = tuple(case for found in suites.values() for case in found)
        if not cases:
            raise click.BadParameter(f"no case matches {only!r}; without --only, the table lists the ops")
        proving = _Proving(Record(cases, facts), path, force=force)
        proving.resume()
        interrupted = proving.run(run)
    show(proving.record, form)
    if interrupted:
        tell([f"interrupted; the same command resumes from {path}" if path else "interrupted; -o FILE would resume"])
        return 130
    return 1 if proving.record.count(Outcome.WRONG) else 0


# ------------------------------------------------------------------ what was asked for


def _precisions(text: str | None) -> list[str]:
    """The precisions of a list."""
    words = dict.fromkeys(word for word in map(str.strip, (text or "").split(",")) if word)
    return [check_precision(word, PRECISIONS) for word in words]


def _checked(device: str, output: str | None, *, force: bool) -> Path | None:
    """The file to keep verdicts in. What can't be proved or written must not show after minutes."""
    from nin_spec.runtime.providers import lookup

    if device == "auto":
        raise click.UsageError("prove takes one device by its name: `nin-spec doctor` lists those that work here")
    lookup(device)
    if output == STDOUT:
        raise click.UsageError("-o is a file to resume from, and - is standard output: pass a path, or --format json")
    path = None if output is None else Path(output)
    if path is not None:
        protect({path: Kind.CONFORMANCE}, [], force=force)
    return path


def _cases(precision: str, only: str | None) -> list[Case]:
    """The cases of a precision that are asked for."""
    from nin_spec.conformance.suite import suite

    return [case for case in suite(precision) if only is None or _matches(case, only)]


def _matches(case: Case, pattern: str) -> bool:
    return any(fnmatchcase(text, pattern) for text in (case.op, case.about, case.id))


# ------------------------------------------------------------------ while it runs


class _Proving:
    """Fills a record, shows how far it is, and keeps it in a file."""

    def __init__(self, record: Record, path: Path | None, *, force: bool) -> None:
        self.record, self.path, self.force = record, path, force
        self.report = reporter()
        self.begun = self.written = time.monotonic()
        self.reached = 0

    def resume(self) -> None:
        """Take over what the file has."""
        if self.path is None:
            return
        self.record.resume(self.path)
        known = len(self.record.cases) - len(self.record.left)
        if known:
            tell([f"{self.path} has {known:,} of {len(self.record.cases):,} verdicts; remove it to prove them again"])

    def run(self, run: Run) -> bool:
        """Prove what is left; returns whether that was interrupted."""
        self.report(f"proving {len(self.record.left):,} cases", None)
        try:
            run.prove(self.record.left, self.take)
        except KeyboardInterrupt:
            return True
        finally:
            clear_line()
            self.keep()
        return False

    def take(self, case: Case, verdict: Verdict) -> None:
        """A verdict that was reached."""
        self.record.verdicts[case.id] = verdict
        if not self.reached:  # the first one also waits for the worker
            self.begun = time.monotonic()
        left, total = len(self.record.left), len(self.record.cases)
        pace = (time.monotonic() - self.begun) / self.reached if self.reached else None
        self.reached += 1
        faults = (f"{self.record.count(outcome)} {outcome}" for outcome in (Outcome.WRONG, Outcome.REFUSED))
        what = f"{total - left:,} of {total:,}, {', '.join(faults)}: {case.op}"
        self.report(what, None if pace is None else pace * left)
        if time.monotonic() - self.written >= _EVERY:
            self.keep()

    def keep(self) -> None:
        """Write the record."""
        if self.path is not None:
            deliver({self.path: self.record.content()}, [], force=self.force)
        self.written = time.monotonic()
